"""Loading a model from a folder, and what the profile says about it."""

import contextlib
import functools
import json
import os
import re
import sys

import torch
import torch.utils.checkpoint

from .codes import MoaError
from .layer_facts import ModelFacts, usual_scale

_ELEMENT_TYPES = {torch.bfloat16: "bf16", torch.float16: "fp16"}
_PLAIN = re.compile(r"[A-Za-z0-9._/-]{1,128}")
_HELP = "give a folder with config.json and weights (.safetensors) that transformers' AutoModelForCausalLM loads"


def device_of(option: str) -> torch.device:
    """The device of `--device auto|cpu|cuda`."""
    if option == "cuda" and not torch.cuda.is_available():
        raise MoaError("MOA7404", "--device cuda: torch finds no GPU", "use --device cpu, or install a torch with CUDA and a driver that fits it")
    return torch.device("cuda" if option != "cpu" and torch.cuda.is_available() else "cpu")


def load_model(folder: str, device: torch.device, dtype: str):
    """The causal language model of a folder, in evaluation, its weights frozen. Never asks the network. Raises MOA7401."""
    from transformers import AutoModelForCausalLM, logging

    require_config(folder)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    kind = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, local_files_only=True, output_loading_info=True)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # transformers raises many types for a folder that it cannot load.
        raise MoaError("MOA7401", f"{folder} cannot be loaded: {type(error).__name__}: {str(error)[:300]}", _HELP) from error
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise MoaError("MOA7401", f"{folder} lacks weights, or has them in another shape: {', '.join(lacking[:4])}", "complete the weights of the folder")
    model.requires_grad_(False)
    if device.type == "cpu":
        # Weights may be pages of the files themselves, and would change with them.
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.data = tensor.data.clone()
    return model.to(device).eval()


def text_vocabulary(folder: str) -> int:
    """How many tokens the model of a folder knows, without loading it. Raises MOA7401."""
    from transformers import AutoConfig, logging

    logging.set_verbosity_error()
    require_config(folder)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config().vocab_size
    except Exception as error:
        raise MoaError("MOA7401", f"{folder}/config.json cannot be read: {str(error)[:300]}", _HELP) from error


def warn_of_positions(model, longest: int) -> None:
    trained = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if trained and longest > trained:
        print(f"warning: length {longest} is more than the {trained} positions that the model was made for", file=sys.stderr)


def require_config(folder: str) -> None:
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise MoaError("MOA7401", f"{folder} is no model folder: it has no config.json", _HELP)


def describe(model, folder: str, facts: ModelFacts) -> dict:
    """`model` of the profile's metadata; `name` is left out if it is not plain, `elementType` if the profile has no word for it."""
    shape = {"layers": facts.layers, "queryHeads": facts.query_heads, "kvHeads": facts.kv_heads, "headDim": facts.head_dim}
    # transformers replaces _name_or_path by the folder that it loads from, so what the file says is read apart.
    names = [_name_in_config(folder), os.path.basename(os.path.abspath(folder))]
    name = next((name for name in names if isinstance(name, str) and _PLAIN.fullmatch(name)), None)
    element = _ELEMENT_TYPES.get(model.dtype)
    own = {**({} if name is None else {"name": name}), **shape, **({} if element is None else {"elementType": element})}
    return {**own, **scores_of(facts), "windows": list(facts.windows)}


def scores_of(facts: ModelFacts) -> dict:
    """How the model makes scores, as a plan says it: only what differs from `q.k / sqrt(headDim)`."""
    return {
        **({} if facts.soft_cap is None else {"softCap": facts.soft_cap}),
        **({"learnedSinks": True} if facts.learned_sinks else {}),
        **({} if usual_scale(facts) else {"scale": facts.scale}),
    }


def _name_in_config(folder: str):
    try:
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            return json.load(file).get("_name_or_path")
    except (OSError, ValueError, AttributeError):
        return None


def tokenizer_loader(folder: str):
    """A function that loads the tokenizer of a folder for data that has text, or raises MOA7401."""
    return lambda: load_tokenizer(folder, "the data has text", "put the tokenizer's files there, or give input_ids and labels")


def load_tokenizer(folder: str, reason: str, help: str):
    """The tokenizer of a folder. Raises MOA7401 with the reason why it is needed, and `help`."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        message = f"{reason}, and {folder} has no tokenizer that can be loaded: {str(error)[:200]}"
        raise MoaError("MOA7401", message, help) from error


@contextlib.contextmanager
def differentiable(model, checkpoint: bool):
    """Gradients flow from the loss down to the embeddings in here, though all weights are frozen.

    With `checkpoint`, decoder layers keep their input alone and run again in the backward pass: the same numbers for less memory and more time.
    """
    hook = model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: output.requires_grad_(True))
    layers = decoder_layers(model) if checkpoint else []
    for layer in layers:
        layer.forward = functools.partial(torch.utils.checkpoint.checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        hook.remove()
        for layer in layers:
            del layer.forward


def decoder_layers(model) -> list:
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def needs_checkpoint(model, tokens: int) -> bool:
    """Whether the activations of all layers would take more than 40 % of the memory that is free on the GPU; never on a CPU.

    Frozen weights need no inputs of their layers, so what stays is about 12 hidden vectors (norms in float32 count twice) and 4 of the MLP a token.
    """
    device = model.get_input_embeddings().weight.device
    if device.type != "cuda":
        return False
    config = model.config.get_text_config()
    token_bytes = model.dtype.itemsize * (12 * config.hidden_size + 4 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size))
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return tokens * token_bytes * config.num_hidden_layers > 0.4 * free
