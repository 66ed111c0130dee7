"""Runs a model with the mask of a plan, without its kernels: `with masked_attention(model, windows, sink): model(ids)`."""

from contextlib import contextmanager
from dataclasses import replace

import torch

from .blocks import Block, attend
from .effective_mask import Mask, within_model
from .interface import attention_of


@contextmanager
def masked_attention(model, windows=None, sink: int = 0, rows: int | None = None):
    """In here a query head attends j from i when j <= i and (j < sink or i - j < window), within the model's own mask (effective_mask.py): a layer
    with a sliding window of its own has no sink, and attends no further than that window.

    windows: [L][Hq] tokens, at least 1, lists or a tensor; None: every causal key (the sink then adds nothing). rows: queries of a block, whole pages.
    Batches are taken, padding and caches are not (MOA7401). Nothing is differentiated. The model's former attention is back afterwards.
    """
    by_layer: dict = {}
    if windows is not None:
        windows = torch.as_tensor(windows)
        if windows.dim() != 2 or bool((windows < 1).any()):
            raise ValueError("windows must be [layers][query heads], each at least 1")

    def function(layer, query, key, value, rule):
        batch, query_heads, tokens, dim = query.shape
        heads = key.shape[1]
        group = query_heads // heads
        if windows is not None and layer not in by_layer:
            masks = [within_model(Mask(sink, int(window)), rule.window) for window in windows[layer]]
            by_layer[layer] = torch.tensor([mask.window for mask in masks], device=query.device).view(heads, group), masks[0].sink
        own, own_sink = by_layer.get(layer, (None, 0))
        limited = own is not None and int(own.min()) < tokens

        def allowed(block: Block) -> torch.Tensor:
            i = torch.arange(block.first, block.end, device=query.device)[:, None]
            j = torch.arange(block.low, block.end, device=query.device)
            # KV heads of all sequences of the batch are numbered through.
            window = own.repeat(batch, 1)[block.head : block.last, :, None, None]
            return (i - j < window) | (j < own_sink)

        if rule.sinks is not None:
            rule = replace(rule, sinks=rule.sinks.view(heads, group).repeat(batch, 1))
        q = query.reshape(batch * heads, group, tokens, dim)
        k, v = (x.reshape(batch * heads, tokens, x.shape[-1]) for x in (key, value))
        out = attend(q, k, v, rule, rows, allowed if limited else None)
        return out.view(batch, query_heads, tokens, -1)

    with torch.no_grad(), attention_of(model, function):
        yield
