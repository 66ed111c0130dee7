"""Attention a block of queries at a time: what the profile and the masked run share.

Shapes: H KV heads (times the batch), G query heads of each, T tokens, D and E the dimensions of a key and a value.
A block holds the rows first .. end-1 of all G query heads of some KV heads, and its keys are low .. end-1: later ones are never touched.
Memory is O(rows * T) for each query head, never T * T.
"""

import math
from dataclasses import dataclass

import torch

PAGE = 64


@dataclass(frozen=True)
class Rule:
    """How a layer attends, as its attention function was told.

    window: key j is attended from i when i - j < window; None: no limit. softcap: scores become c tanh(score / c) (Gemma 2).
    sinks: [H, G] logits that join the denominator and have no value (gpt-oss).
    """

    scaling: float
    window: int | None = None
    softcap: float | None = None
    sinks: torch.Tensor | None = None


@dataclass(frozen=True)
class Block:
    """Rows first .. end-1, keys low .. end-1, KV heads head .. last-1."""

    head: int
    last: int
    first: int
    end: int
    low: int


def block_sizes(heads: int, group: int, tokens: int, device: torch.device, rows: int | None = None, buffers: int = 5) -> tuple[int, int]:
    """(query rows, KV heads) of a block, so that `buffers` matrices of 4 bytes stay under 1 GiB on a GPU and 64 MiB elsewhere.

    Rows are whole pages: 64 at least, 1024 at most; where a page of all heads is too large, the heads are split.
    """
    budget = (1 << 30) if device.type == "cuda" else (64 << 20)
    row_bytes = 4 * buffers * group * tokens
    if rows is None:
        rows = min(max(budget // (row_bytes * heads) // PAGE, 1) * PAGE, 1024)
    rows = min(rows, -(-tokens // PAGE) * PAGE)
    return rows, min(max(budget // (row_bytes * rows), 1), heads)


def blocks(heads: int, tokens: int, sizes: tuple[int, int], window: int | None):
    """All blocks, in an order that does not change. `low` is a whole page, so that blocks and pages share their edges."""
    rows, part = sizes
    for head in range(0, heads, part):
        for first in range(0, tokens, rows):
            low = 0 if window is None else max(0, (first - window + 1) // PAGE * PAGE)
            yield Block(head, min(head + part, heads), first, min(first + rows, tokens), low)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type in which scores and influences of a model of type `dtype` are computed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Batched a @ b [B, n, m], accumulated and returned in `wide` type. On a GPU the tensor cores read 16-bit operands as they are."""
    if a.dtype == wide(a.dtype):
        return torch.bmm(a, b)
    if a.is_cuda:
        try:
            return torch.bmm(a, b, out_dtype=torch.float32)
        except (TypeError, RuntimeError) as error:  # Before torch 2.8, or a backend without it.
            if isinstance(error, torch.OutOfMemoryError):
                raise
    return torch.bmm(a.float(), b.float())


def scores(q: torch.Tensor, k: torch.Tensor, block: Block, rule: Rule, allowed: torch.Tensor | None = None):
    """Scores of a block [h, G, rows, keys], -inf where a key is not attended, and the slope of the softcap (None without one).

    q [H, G, T, D], k [H, T, D]; allowed, if given, [h, G, rows, keys]: further limits to the causal mask and the window.
    """
    rows, keys = block.end - block.first, block.end - block.low
    part = q[block.head : block.last, :, block.first : block.end]
    heads, group, _, dim = part.shape
    # A power of two scales exactly in any type, before the product rather than in a pass of its own.
    exact = math.frexp(rule.scaling)[0] == 0.5
    part = (part * rule.scaling if exact else part).reshape(heads, group * rows, dim)
    s = product(part, k[block.head : block.last, block.low : block.end].transpose(1, 2)).view(heads, group, rows, keys)
    if not exact:
        s.mul_(rule.scaling)
    slope = None
    if rule.softcap is not None:
        s.div_(rule.softcap).tanh_()
        slope = 1 - s * s  # d(c tanh(x / c)) / dx
        s.mul_(rule.softcap)
    i = torch.arange(block.first, block.end, device=s.device)[:, None]
    # Only the last `rows` keys can be later than a query, and only those up to end - 1 - window outside the window.
    s[..., keys - rows :].masked_fill_(torch.arange(block.first, block.end, device=s.device) > i, -math.inf)
    if rule.window is not None and block.end - rule.window > block.low:
        j = torch.arange(block.low, block.end - rule.window, device=s.device)
        s[..., : len(j)].masked_fill_(i - j >= rule.window, -math.inf)
    if allowed is not None:
        s.masked_fill_(~allowed, -math.inf)
    return s, slope


def weights(s: torch.Tensor, block: Block, rule: Rule):
    """A, the softmax of each row of `scores`, and the share of the sink [h, G, rows, 1] (None without one)."""
    if rule.sinks is None:
        return torch.softmax(s, dim=-1), None
    sink = rule.sinks[block.head : block.last, :, None, None].to(s.dtype)
    total = torch.logaddexp(torch.logsumexp(s, dim=-1, keepdim=True), sink)
    return s.sub_(total).exp_(), torch.exp(sink - total)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rule: Rule, rows: int | None = None, allowed=None) -> torch.Tensor:
    """softmax(scores) V for q [H, G, T, D], k [H, T, D], v [H, T, E]: [H, G, T, E], of q's type.

    allowed(block) gives the further limits of `scores`, or is None.
    """
    heads, group, tokens, _ = q.shape
    out = q.new_empty(heads, group, tokens, v.shape[-1])
    for block in blocks(heads, tokens, block_sizes(heads, group, tokens, q.device, rows, buffers=4), rule.window):
        s, _ = scores(q, k, block, rule, None if allowed is None else allowed(block))
        a, _ = weights(s, block, rule)
        del s
        o = product(a.to(v.dtype).flatten(1, 2), v[block.head : block.last, block.low : block.end])
        out[block.head : block.last, :, block.first : block.end] = o.view(*a.shape[:3], -1)
    return out
