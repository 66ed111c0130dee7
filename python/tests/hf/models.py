"""Tiny random models of the families that differ in how they attend, the plan that they run on, and
its packages."""

import functools
import inspect
import json
from pathlib import Path
from typing import Any

import torch
import transformers

import moa_compile

from ..runtime.packages import compile_package, plan_of, scratch

# Everything is so small that a second thread only waits.
torch.set_num_threads(1)
transformers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()

VOCABULARY, LAYERS, QUERY_HEADS, KV_HEADS, HEAD_DIM = 64, 2, 4, 2, 64
# Tokens that mean something to generation; texts have none of them.
PAD, BEGIN, END = 0, 1, 2
WINDOW = 128
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": QUERY_HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 1024,
    "bos_token_id": BEGIN,
    "eos_token_id": END,
    "pad_token_id": PAD,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}
_TYPES = ["sliding_attention", "full_attention"]
FAMILIES = {
    "llama": ("LlamaConfig", {}),
    "mistral": ("MistralConfig", {"sliding_window": WINDOW}),
    "qwen2": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", {}),
    "gemma2": (
        "Gemma2Config",
        {
            "sliding_window": WINDOW,
            "layer_types": _TYPES,
            "attn_logit_softcapping": 4.0,
            "query_pre_attn_scalar": HEAD_DIM,
        },
    ),
    "gemma3": (
        "Gemma3TextConfig",
        {"sliding_window": WINDOW, "layer_types": _TYPES, "query_pre_attn_scalar": HEAD_DIM},
    ),
    "gpt-oss": (
        "GptOssConfig",
        {
            "sliding_window": WINDOW,
            "layer_types": _TYPES,
            "num_local_experts": 1,
            "num_experts_per_tok": 1,
        },
    ),
    "phi3": ("Phi3Config", {"sliding_window": None}),
    "smollm": ("SmolLM3Config", {"no_rope_layers": [1, 0], "use_sliding_window": False}),
}
# The model's own window of each layer, where it has any.
WINDOWS = {
    "mistral": (WINDOW, WINDOW),
    "qwen2": (None, WINDOW),
    "gemma2": (WINDOW, None),
    "gemma3": (WINDOW, None),
    "gpt-oss": (WINDOW, None),
}
# Spans follow from the length bound in some heads, and differ within a KV head.
PLAN = plan_of(
    (LAYERS, QUERY_HEADS, KV_HEADS, HEAD_DIM),
    alphas=[[0, 128, 128, 128], [128, 0, 128, 192]],
    betas=[[0.7, 0, 0, 0], [0, 0.7, 0, 0]],
)


def config_of(family: str, **options):
    name, own = FAMILIES[family]
    return getattr(transformers, name)(**{**_COMMON, **own, **options})


def tiny_model(
    family: str = "llama", seed: int = 0, dtype: torch.dtype = torch.bfloat16, **options
):
    """A random model in evaluation, whose weights want no gradients."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config_of(family, **options))
    for key, parameter in model.named_parameters():
        if key.endswith("sinks"):
            torch.nn.init.normal_(parameter)
    # A token that never comes: texts are as long as they are asked to be.
    model.generation_config.eos_token_id = VOCABULARY
    return model.to(dtype).eval().requires_grad_(False)


def given(cache) -> dict:
    """A cache as an argument of a model: it was renamed in transformers 5.24."""
    names = inspect.signature(transformers.LlamaModel.forward).parameters
    return {"cache" if "cache" in names else "past_key_values": cache}


def cache_in(output):
    """The cache of a model's output, or of generate's."""
    return output["cache" if "cache" in output else "past_key_values"]


@functools.cache
def package(family: str = "llama", *options: str) -> moa_compile.Package:
    """The plan, compiled with the config of a family and options of the command line."""
    name = "_".join(("hf", family, *options)).replace("/", "")
    return moa_compile.load(compiled(name, PLAN, config_of(family), *options))


@functools.cache
def gpu_package() -> moa_compile.Package:
    """The plan for a Llama, with machine code for this GPU. Needs nvcc."""
    config, arch = config_of("llama"), ("--arch", "native")
    return moa_compile.load(compiled("hf_gpu", PLAN, config, *arch, emit="cubin"))


def compiled(name: str, plan: dict[str, Any], config, *options: str, emit: str = "cuda") -> Path:
    """The package of a plan for a model, in a folder of this name."""
    folder = scratch() / name
    folder.mkdir(exist_ok=True)
    source, model, out = folder / "plan.json", folder / "config.json", folder / "package"
    source.write_text(json.dumps(plan))
    model.write_text(config.to_json_string(use_diff=False))
    compile_package(source, out, "--model", str(model), *options, emit=emit)
    return out


def texts(*lengths: int, seed: int = 0) -> list[torch.Tensor]:
    """Random texts."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (length,), generator=random) for length in lengths]


def padded(rows: list[torch.Tensor], side: str = "left") -> dict[str, torch.Tensor]:
    """A batch of texts of unequal lengths, and its mask."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), PAD)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        at = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[index, at], mask[index, at] = row, 1
    return {"input_ids": ids, "attention_mask": mask}
