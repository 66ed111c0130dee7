"""Attention of a plan in float64: the sink and a window of the last tokens for every head, from the
plan's own formula."""

import math

import torch

from .packages import HEAD_DIM, KV_HEADS, LAYERS, PLAN, QUERY_HEADS

PAGE = 64


def window(layer: int, head: int, bound: int) -> int:
    """Tokens behind the sink that a head attends in a sequence of at most `bound` tokens."""
    span = int(PLAN["alphas"][layer][head] + PLAN["betas"][layer][head] * bound)
    span = max(min(span, bound), PLAN["sink"] + PAGE)
    return -(-span // PAGE) * PAGE - PLAN["sink"]


def attend(
    layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bound: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The last rows of a sequence: q `[rows, query heads, head dim]`, all k and v `[length, KV
    heads, head dim]`.

    Returns the output and the logarithm of each row's sum.
    """
    rows, length = q.shape[0], k.shape[0]
    position, key = torch.arange(length - rows, length)[:, None], torch.arange(length)[None, :]
    out = torch.empty(rows, QUERY_HEADS, HEAD_DIM, dtype=torch.float64)
    lse = torch.empty(rows, QUERY_HEADS, dtype=torch.float64)
    for head in range(QUERY_HEADS):
        kv_head = head * KV_HEADS // QUERY_HEADS
        scores = q[:, head].double() @ k[:, kv_head].double().T / math.sqrt(HEAD_DIM)
        seen = (key <= position) & (
            (key < PLAN["sink"]) | (key > position - window(layer, head, bound))
        )
        scores = scores.masked_fill(~seen, -math.inf)
        lse[:, head] = scores.logsumexp(-1)
        out[:, head] = scores.softmax(-1) @ v[:, kv_head].double()
    return out, lse


def rotate(x: torch.Tensor, begin: int, theta: float) -> torch.Tensor:
    """Tokens `[tokens, heads, head dim]` from position `begin` on, turned: element i with i + head
    dim / 2."""
    half = HEAD_DIM // 2
    inverse = theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(begin, begin + x.shape[0], dtype=torch.float64)[:, None, None] * inverse
    first, second = x[..., :half].double(), x[..., half:].double()
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class Model:
    """Sequences with random q, k and v through a session, and the reference of each."""

    def __init__(self, session, theta: float | None = None, seed: int = 0) -> None:
        self.session, self.theta = session, theta
        self._random = torch.Generator().manual_seed(seed)
        # By slot: for each layer all keys and values, as they came.
        self.tokens: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self.worst = 0.0

    def _draw(self, *shape: int) -> torch.Tensor:
        return (torch.rand(*shape, generator=self._random) * 4 - 2).to(torch.bfloat16)

    def add(self, **options) -> int:
        slot = self.session.add(**options)
        self.begin(slot)
        return slot

    def begin(self, slot: int) -> None:
        empty = torch.empty(0, KV_HEADS, HEAD_DIM, dtype=torch.bfloat16)
        self.tokens[slot] = [(empty, empty) for _ in range(LAYERS)]

    def fork(self, slot: int) -> int:
        to = self.session.fork(slot)
        self.tokens[to] = list(self.tokens[slot])
        return to

    def remove(self, slot: int) -> None:
        self.session.remove(slot)
        del self.tokens[slot]

    def truncate(self, slot: int, length: int) -> None:
        self.session.truncate(slot, length)
        self.tokens[slot] = [(k[:length], v[:length]) for k, v in self.tokens[slot]]

    def tensors(self, rows: int) -> dict[str, torch.Tensor]:
        return {
            "q": self._draw(rows, QUERY_HEADS, HEAD_DIM),
            "k": self._draw(rows, KV_HEADS, HEAD_DIM),
            "v": self._draw(rows, KV_HEADS, HEAD_DIM),
            "out": torch.full((rows, QUERY_HEADS, HEAD_DIM), 7.0, dtype=torch.bfloat16),
            "lse": torch.full((rows, QUERY_HEADS), 7.0),
        }

    def packed(self, call: str, counts: list[int], given=None) -> None:
        """`prefill` or `step` of so many tokens of each slot, in all layers."""
        ends = [0]
        for count in counts:
            ends.append(ends[-1] + count)
        for layer in range(LAYERS):
            tensors = self.tensors(ends[-1])
            came = {name: tensors[name].clone() for name in "qkv"}
            own = tensors if given is None else _padded(tensors, given.budget)
            getattr(self.session, call)(layer, **own, cu_seqlens=ends if given is None else given)
            out, lse = own["out"][: ends[-1]], own["lse"][: ends[-1]]
            for slot, (begin, end) in enumerate(zip(ends, ends[1:])):
                if end > begin:
                    self._check(layer, slot, came, out, lse, slice(begin, end))

    def decode(self, tokens: int = 1, counts: list[int] | None = None) -> None:
        slots = self.session.slots
        for layer in range(LAYERS):
            tensors = self.tensors(slots * tokens)
            came = {name: tensors[name].clone() for name in "qkv"}
            options = {} if counts is None else {"counts": counts}
            self.session.decode(layer, **tensors, tokens=tokens, **options)
            for slot in self.tokens:
                own = tokens if counts is None else counts[slot]
                rows = slice(slot * tokens, slot * tokens + own)
                if own > 0:
                    self._check(layer, slot, came, tensors["out"], tensors["lse"], rows)

    def _check(self, layer, slot, came, out, lse, rows) -> None:
        k, v = self.tokens[slot][layer]
        k, v = torch.cat((k, came["k"][rows])), torch.cat((v, came["v"][rows]))
        self.tokens[slot][layer] = k, v
        q = came["q"][rows]
        if self.theta is not None:
            # Rotated keys and queries are rounded as the kernels round them.
            q = rotate(q, k.shape[0] - q.shape[0], self.theta).to(torch.bfloat16)
            k = rotate(k, 0, self.theta).to(torch.bfloat16)
        wanted, sums = attend(layer, q, k, v, self.session.length_bounds()[slot])
        error = max(
            (out[rows].double() - wanted).abs().max().item() / 4,
            (lse[rows].double() - sums).abs().max().item(),
        )
        self.worst = max(self.worst, error)


def _padded(tensors: dict[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """The same with as many rows; NaN, which nobody may read, behind."""
    padded = {}
    for name, tensor in tensors.items():
        padded[name] = torch.full((rows, *tensor.shape[1:]), float("nan"), dtype=tensor.dtype)
        padded[name][: tensor.shape[0]] = tensor
    return padded
