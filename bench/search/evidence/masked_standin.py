"""Attention with a window for each query head, in plain PyTorch: used where the package moa_compile cannot be imported.

A query head attends key j from query i when j <= i and (j < sink or i - j < window).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, PreTrainedModel

NAME = "evidence_masked"
QUERY_BLOCK = 512

_masks: dict[int, tuple[list[int], int]] = {}  # id of an attention module: windows of its query heads, sink


def masked_forward(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None, **settings: object
) -> tuple[torch.Tensor, None]:
    """query: [samples, Hq, N, headDim]; key, value: [samples, Hk, N, headDim]. Returns [samples, N, Hq, headDim]."""
    windows, sink = _masks[id(module)]
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    positions = torch.arange(query.shape[2], device=query.device)
    widths = torch.tensor(windows, device=query.device)[:, None, None]
    blocks = []
    for start in range(0, query.shape[2], QUERY_BLOCK):
        i = positions[start : start + QUERY_BLOCK, None]
        j = positions[None, : start + QUERY_BLOCK]
        allowed = (j <= i) & ((j < sink) | (i - j < widths))  # [Hq, block, keys so far]
        blocks.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[:, :, start : start + QUERY_BLOCK],
                key[:, :, : start + QUERY_BLOCK],
                value[:, :, : start + QUERY_BLOCK],
                attn_mask=allowed[None],
                scale=settings.get("scaling"),
            )
        )
    return torch.cat(blocks, dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, masked_forward)


@contextmanager
def masked_attention(model: PreTrainedModel, windows: list[list[int]], sink: int) -> Iterator[None]:
    """Within it `model` attends by these windows, in tokens, [L][Hq]."""
    layers = model.model.layers
    shape = (len(layers), model.config.num_attention_heads)
    if len(windows) != shape[0] or any(len(row) != shape[1] for row in windows):
        raise ValueError(f"windows of {shape[0]} layers with {shape[1]} query heads are needed")
    before = model.config._attn_implementation
    _masks.update({id(layer.self_attn): (list(row), sink) for layer, row in zip(layers, windows)})
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before
        for layer in layers:
            del _masks[id(layer.self_attn)]
