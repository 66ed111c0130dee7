"""Puts an attention function of ours into a model through the transformers attention interface, and takes it out again."""

import itertools
from contextlib import contextmanager

import torch

from .blocks import Rule
from .codes import MoaError

_names = itertools.count()
_ARGUMENTS = {
    *("dropout", "is_causal", "sliding_window", "softcap", "s_aux", "position_bias"),  # Read here, or of training.
    *("position_ids", "cache_position", "use_cache", "output_attentions", "output_hidden_states", "return_dict", "logits_to_keep"),
}
"""What layers give their attention functions besides q, k, v, mask and scale. Another argument may change what is attended, and is refused."""
_HELP = "the search needs a causal decoder of transformers (Llama, Mistral, Qwen, Gemma, gpt-oss, ...) without padding and without a cache"


def unsupported(message: str) -> MoaError:
    return MoaError("MOA7401", message, _HELP)


@contextmanager
def attention_of(model, function):
    """The model's attention layers call function(layer, q, k, v, rule) in here.

    q [B, Hq, T, D], k [B, Hk, T, D], v [B, Hk, T, E]; rule: blocks.Rule, its sinks [Hq]; it returns [B, Hq, T, E].
    The model's former implementation is back afterwards, also after an error. Raises MOA7401 for attention of another kind.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    name, masks = f"moa_{next(_names)}", _Masks()
    AttentionInterface.register(name, _adapter(function, masks))
    AttentionMaskInterface.register(name, masks)
    before = _implementations(model)
    try:
        try:
            model.set_attn_implementation(name)
        except Exception as error:
            raise unsupported(f"the attention of {type(model).__name__} cannot be replaced: {error}") from error
        if text_config(model)._attn_implementation != name:
            raise unsupported(f"{type(model).__name__} does not use the transformers attention interface")
        yield
    finally:
        if name in _implementations(model).values():
            model.set_attn_implementation(before)
        for interface in (AttentionInterface, AttentionMaskInterface):
            interface._global_mapping.pop(name, None)


def text_config(model):
    """The config of the language model, also within a multimodal one."""
    return model.config.get_text_config()


def _implementations(model) -> dict[str, str]:
    """Implementation names by sub-config; "" is the whole model. What set_attn_implementation takes."""
    parts = {"": model.config._attn_implementation}
    for key in getattr(model.config, "sub_configs", {}):
        part = getattr(model.config, key, None)
        if part is not None:
            parts[key] = part._attn_implementation
    return parts


class _Masks:
    """The mask function that belongs to the attention function: makes no mask, but notes which windows it stands for.

    Models whose mask is not causal with perhaps a window (chunks, packed sequences, padding) are refused: their layers do not tell the attention
    function of it.
    """

    def __init__(self):
        self.windows: set[tuple[int, int | None]] = set()

    def __call__(self, batch_size=1, q_length=None, kv_length=None, q_offset=0, kv_offset=0, mask_function=None, attention_mask=None, **others):
        if q_length is None:  # transformers 4.57
            positions = others["cache_position"]
            q_length, q_offset = positions.shape[0], int(positions[0])
        if q_length != kv_length or int(q_offset) != 0 or int(kv_offset) != 0:
            raise unsupported("the model was called with a cache")
        if attention_mask is not None and not bool(attention_mask.all()):
            raise unsupported("the model was called with padding")
        device = others.get("device") or "cpu"
        self.windows.add((q_length, _window_of(mask_function, batch_size, q_length, device)))
        return None


def _window_of(mask_function, batch: int, tokens: int, device) -> int | None:
    """The window that a mask function of transformers has, found by asking it for rows; None: it is at least `tokens`."""
    if mask_function is None:
        return None
    j = torch.arange(tokens, device=device)
    which, head = torch.arange(batch, device=device)[:, None], torch.tensor(0, device=device)

    def row(i: int) -> torch.Tensor:
        return torch.as_tensor(mask_function(which, head, torch.tensor(i, device=device), j[None])).expand(batch, tokens)

    window = int(row(tokens - 1)[0].sum())
    for i in sorted({0, 1, 2, tokens // 3, tokens // 2, tokens - 2, tokens - 1, window - 1, window, window + 1} & set(range(tokens))):
        if not torch.equal(row(i), ((j <= i) & (i - j < window)).expand(batch, tokens)):
            raise unsupported("a mask of the model is neither causal nor a causal window")
    return None if window >= tokens else window


def _adapter(function, masks: _Masks):
    """The attention function as transformers calls it."""

    def attention(module, query, key, value, attention_mask=None, scaling=None, **others):
        layer, tokens = getattr(module, "layer_idx", None), query.shape[2]
        if layer is None or not getattr(module, "is_causal", True) or others.get("is_causal") is False:
            raise unsupported(f"{type(module).__name__} is no causal self-attention of a numbered layer")
        unknown = [name for name, value in others.items() if name not in _ARGUMENTS and value is not None and value is not False]
        if unknown:
            raise unsupported(f"{type(module).__name__} gives its attention a {unknown[0]}, which is not known")
        if attention_mask is not None or others.get("position_bias") is not None or key.shape[2] != tokens:
            raise unsupported(f"{type(module).__name__} has a mask, a bias or a cache of its own")
        if value.shape[:3] != key.shape[:3]:
            raise unsupported(f"{type(module).__name__} has {key.shape[1]} heads of keys and {value.shape[1]} of values")
        window = others.get("sliding_window")
        if window is not None and int(window) < 1:
            raise unsupported(f"{type(module).__name__} of layer {layer} has a window of {window} tokens")
        # What is as long as the sequence masks nothing, but the layer has no sink all the same: the rule keeps it.
        window = None if window is None else int(window)
        if (tokens, None if window is None or window >= tokens else window) not in masks.windows:
            raise unsupported(f"{type(module).__name__} of layer {layer} does not attend as its mask says")
        scaling = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        rule = Rule(scaling, window, others.get("softcap"), others.get("s_aux"))
        return function(layer, query, key, value, rule).transpose(1, 2).contiguous(), None

    return attention
