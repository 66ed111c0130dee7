"""A GGUF file to the folder of a model, by transformers; each step is checked against the file."""

import importlib.metadata
import json
import warnings
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from tokenizers import pre_tokenizers

from .fetch import FetchError
from .gguf_file import GgufFile
from .sources import Source

_PACKAGES: Final = ("transformers", "tokenizers", "torch", "gguf", "accelerate", "safetensors")
_READABLE: Final = 0o644
# A sentence with what tokenizers get wrong: spaces before digits, blank lines, letters of several
# bytes, a tab.
_SENTENCE: Final = "In 1969,  12 men\n\n\n  said: “café—naïve” 𝔘\tx = y[10]; it's 3.14%!\n"


def convert(source: Source, gguf: Path, folder: Path) -> dict[str, str]:
    """Writes the model into `folder`. Returns the versions of packages that made it."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    write_model(source, gguf, folder)
    write_tokenizer(source, gguf, folder)
    for path in folder.iterdir():
        path.chmod(_READABLE)
    return versions()


def versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def write_model(source: Source, gguf: Path, folder: Path) -> None:
    """config.json, generation_config.json and model.safetensors."""
    file = GgufFile(gguf)
    if differences := file.differences(source.config):
        raise FetchError("the GGUF and the config differ: " + "; ".join(differences))
    weights = read_weights(gguf)
    compare_weights(file, source, weights)
    # A new model: one that was loaded from a GGUF remembers that, and may refuse to be saved.
    own = {key: value for key, value in source.config.items() if key != "model_type"}
    config = transformers.AutoConfig.for_model(source.config["model_type"], **own)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    given = {name: values.bfloat16() for name, values in weights.items()}
    missing, unexpected = model.load_state_dict(given, strict=False, assign=True)
    # With tied embeddings the head has no weights of its own.
    left = [name for name in missing if name != "lm_head.weight"]
    if left or unexpected:
        raise FetchError(f"the model misses {left}, and does not know {unexpected}")
    model.tie_weights()
    model.save_pretrained(folder)
    write_json(folder / "config.json", source.config)
    write_json(folder / "generation_config.json", source.generation)


def read_weights(gguf: Path) -> dict[str, torch.Tensor]:
    """float32, as transformers reads the file."""
    options: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):
        # Without it weights may stay in blocks.
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, **options
        )
    except (ImportError, ValueError) as error:
        if "accelerate" in str(error):
            raise FetchError("transformers needs a package more: pip install accelerate") from error
        raise
    weights: dict[str, torch.Tensor] = model.state_dict()
    return {name: values for name, values in weights.items() if name != "lm_head.weight"}


def compare_weights(file: GgufFile, source: Source, weights: dict[str, torch.Tensor]) -> None:
    """Raises `FetchError` unless each tensor is, bit for bit, what the second reading has."""
    seen, wrong = set(), []
    for name, expected in file.weights(source.config):
        seen.add(name)
        if name not in weights or not torch.equal(weights[name], expected):
            wrong.append(name)
    wrong += sorted(set(weights) - seen)
    if wrong:
        raise FetchError(
            f"transformers {transformers.__version__} reads {len(wrong)} tensors otherwise than "
            f"gguf does, the first is {wrong[0]}"
        )


def write_tokenizer(source: Source, gguf: Path, folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json, and the chat template where the file has one."""
    file = GgufFile(gguf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    if source.splits_digits:
        split_digits(tokenizer)
    tokenizer.chat_template = file.field("tokenizer.chat_template")
    tokenizer.model_max_length = source.config["max_position_embeddings"]
    tokenizer.save_pretrained(folder)
    mend_tokenizer_config(source, folder / "tokenizer_config.json")
    check_tokenizer(source, file, transformers.AutoTokenizer.from_pretrained(folder))


def split_digits(tokenizer: Any) -> None:
    """transformers knows no `tokenizer.ggml.pre` of `smollm`: it leaves digits in words, which
    changes whitespace before them."""
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def mend_tokenizer_config(source: Source, path: Path) -> None:
    """Without facts of this machine. Of a class that takes tokenizer.json as it is, in transformers
    4 too; the class of Gemma is known to both."""
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("is_local", "local_files_only", "name_or_path", "backend"):
        config.pop(key, None)
    if source.splits_digits:
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    write_json(path, config)


def check_tokenizer(source: Source, file: GgufFile, tokenizer: Any) -> None:
    """Of the folder as it is read again."""
    tokens = file.field("tokenizer.ggml.tokens")
    wrong = []
    if len(tokenizer) != len(tokens):
        wrong.append(f"{len(tokenizer)} tokens, not {len(tokens)}")
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if getattr(tokenizer, key) != source.config[key]:
            wrong.append(f"{key} is {getattr(tokenizer, key)}, not {source.config[key]}")
    ids = tokenizer(_SENTENCE).input_ids
    begins = ids[0] == source.config["bos_token_id"]
    if begins != bool(file.field("tokenizer.ggml.add_bos_token")):
        wrong.append(f"a text begins {'with' if begins else 'without'} a token of beginning")
    if tokenizer.decode(ids, skip_special_tokens=True) != _SENTENCE:
        wrong.append(f"{_SENTENCE!r} becomes {tokenizer.decode(ids, skip_special_tokens=True)!r}")
    if tokenizer.chat_template != file.field("tokenizer.chat_template"):
        wrong.append("the chat template is not that of the file")
    if wrong:
        raise FetchError("the tokenizer is wrong: " + "; ".join(wrong))


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
