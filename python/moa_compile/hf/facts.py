"""How the layers of a model attend: what they tell their attention function when the model runs.
A config may say it or not; this is what is run."""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from .interface import probing
from .problems import problem

_TOKENS: Final = 2
# What layers give their attention besides q, k, v and the mask. Another argument may change what is
# attended.
_KNOWN: Final = {
    *("scaling", "dropout", "is_causal", "sliding_window", "softcap", "s_aux"),
    *("position_ids", "cache_position", "use_cache", "return_dict", "logits_to_keep"),
    *("output_attentions", "output_hidden_states", "output_router_logits"),
}


@dataclass(frozen=True)
class LayerFacts:
    """One layer. `scale`: what q.k is multiplied by; `soft_cap`: 0 for none; `window`: tokens,
    None for all; `sinks`: logits of learned sinks `[query heads]`."""

    module: nn.Module
    query_heads: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device
    scale: float
    soft_cap: float
    window: int | None
    sinks: torch.Tensor | None


def rule_of(arguments: dict[str, Any], head_dim: int) -> tuple[float, float, int | None, bool]:
    """Scale, soft cap, window and whether there are learned sinks, of a call's arguments."""
    scale, window = arguments.get("scaling"), arguments.get("sliding_window")
    return (
        head_dim**-0.5 if scale is None else float(scale),
        float(arguments.get("softcap") or 0.0),
        None if window is None else int(window),
        arguments.get("s_aux") is not None,
    )


def model_facts(decoder: nn.Module) -> list[LayerFacts]:
    """Runs a decoder once on a few tokens and notes each layer, in order.

    Raises MOA6311 for attention that is not causal self-attention of numbered layers.
    """
    found: dict[int, LayerFacts] = {}
    name = type(decoder).__name__

    def note(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        arguments: dict[str, Any],
    ) -> None:
        number = getattr(module, "layer_idx", None)
        causal = getattr(module, "is_causal", True) and arguments.get("is_causal") is not False
        if not isinstance(number, int) or number in found or not causal:
            raise problem("unsupportedModel", f"{name} has other layers than causal ones in order")
        unknown = [
            each
            for each, given in arguments.items()
            if given is not None and given is not False and each not in _KNOWN
        ]
        if unknown or value.shape != key.shape or key.shape[2] != query.shape[2]:
            what = f"with {unknown[0]}" if unknown else "of keys and values that differ in shape"
            raise problem("unsupportedModel", f"layer {number} of {name} has attention {what}")
        scale, soft_cap, window, _ = rule_of(arguments, query.shape[-1])
        found[number] = LayerFacts(
            *(module, query.shape[1], key.shape[1], query.shape[-1], query.dtype, query.device),
            *(scale, soft_cap, window, arguments.get("s_aux")),
        )

    weight = next(decoder.parameters())
    tokens = torch.zeros(1, _TOKENS, dtype=torch.long, device=weight.device)
    with torch.no_grad(), probing(note):
        decoder(input_ids=tokens, use_cache=False)
    if not found or sorted(found) != list(range(len(found))):
        layers = len(found)
        raise problem("unsupportedModel", f"{name} has {layers} layers that can be attached to")
    return [found[number] for number in range(len(found))]
