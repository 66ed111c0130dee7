"""A model under the mask of the plan without its kernels: an attention function of transformers
that masks each query head by its own window, from the plan's formula.

It is run on a copy of the model, with a `DynamicCache` that keeps all keys."""

import copy

import torch
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache

from .models import LAYERS, PLAN, QUERY_HEADS, WINDOWS, given

_NAME = "moa_reference"
PAGE, LEAST = 64, 128


def mask_of(family: str, layer: int, bound: int) -> tuple[int, list[int]]:
    """The sink of a layer, and the window of each query head, for sequences of `bound` tokens."""
    own = WINDOWS.get(family, (None, None))[layer]
    sink = PLAN["sink"] if own is None else 0
    windows = []
    for head in range(QUERY_HEADS):
        span = int(PLAN["alphas"][layer][head] + PLAN["betas"][layer][head] * bound)
        span = -(-max(min(span, bound), LEAST) // PAGE) * PAGE
        windows.append((span if own is None else min(span, own)) - sink)
    return sink, windows


def _attention(
    module, query, key, value, attention_mask, scaling, softcap=None, s_aux=None, **_
) -> tuple[torch.Tensor, None]:
    """With keys of all columns. `attention_mask`: of padding, `[batch, columns]`."""
    batch, heads, rows, _ = query.shape
    columns = key.shape[2]
    real = torch.ones(batch, columns, dtype=torch.bool)
    if attention_mask is not None:
        real = attention_mask[:, :columns].bool()
    sink, windows = module._reference
    # Padding is not a token: sink and window count those of the row.
    j = real.cumsum(1)[:, None, None, :] - 1
    i = j.transpose(2, 3)[:, :, columns - rows :]
    causal = torch.ones(rows, columns, dtype=torch.bool).tril(columns - rows)
    window = torch.tensor(windows)[None, :, None, None]
    allowed = causal & real[:, None, None, :] & ((j < sink) | (i - j < window))
    group = heads // key.shape[1]
    key, value = (x.repeat_interleave(group, 1) for x in (key, value))
    if softcap is None and s_aux is None:
        out = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=allowed, scale=scaling
        )
    else:
        scores = (query @ key.transpose(2, 3)).float() * scaling
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        scores = scores.masked_fill(~allowed, -torch.inf)
        if s_aux is not None:
            sinks = s_aux.float().view(1, -1, 1, 1).expand(batch, -1, rows, 1)
            scores = torch.cat((scores, sinks), -1)
        out = scores.softmax(-1)[..., :columns].to(value.dtype) @ value
    seen = real[:, None, columns - rows :, None]
    return out.masked_fill(~seen, 0).transpose(1, 2).contiguous(), None


def _mask(attention_mask=None, **_):
    return attention_mask


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, _mask)


class Reference:
    """A copy of a model, under the plan's mask."""

    def __init__(self, model, family: str, dtype: torch.dtype = torch.bfloat16) -> None:
        self.model, self.family = copy.deepcopy(model).to(dtype), family
        self.model.set_attn_implementation(_NAME)

    def bound(self, bound: int) -> None:
        """Windows are those of sequences of `bound` tokens from here on."""
        layers = [
            module
            for module in self.model.modules()
            if hasattr(module, "layer_idx") and hasattr(module, "num_key_value_groups")
        ]
        assert len(layers) == LAYERS
        for layer in layers:
            layer._reference = mask_of(self.family, layer.layer_idx, bound)

    def generate(self, bound: int, **arguments) -> torch.Tensor:
        self.bound(bound)
        return self.model.generate(**given(DynamicCache()), **arguments)

    def logits(self, bound: int, **arguments) -> torch.Tensor:
        self.bound(bound)
        with torch.no_grad():
            return self.model(**arguments, use_cache=False).logits
