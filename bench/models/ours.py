"""The bare loop on a session: decode takes the place of attention, of RoPE and of the writing of
keys and values."""

from collections.abc import Callable
from typing import Any

import torch

import moa_compile

from .bare import filled_tokens, measure_steps, random_tensor
from .settings import Case
from .shapes import Shape


class SessionAttention:
    """Keys and values are one product, so that each is contiguous, as sessions want them."""

    def __init__(self, shape: Shape, session: moa_compile.Session, device: torch.device) -> None:
        self._shape, self._session = shape, session
        width, hidden = shape.head_dim, shape.hidden
        self.queries = [
            random_tensor(device, hidden, shape.query_heads * width) for _ in range(shape.layers)
        ]
        self.pairs = [
            random_tensor(device, 2, hidden, shape.kv_heads * width) for _ in range(shape.layers)
        ]

    def __call__(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        rows, shape = x.shape[0], self._shape
        query = (x @ self.queries[layer]).view(rows, 1, shape.query_heads, shape.head_dim)
        pair = torch.bmm(x.expand(2, *x.shape), self.pairs[layer])
        key, value = pair.view(2, rows, 1, shape.kv_heads, shape.head_dim).unbind()
        out = torch.empty_like(query)
        self._session.decode(layer, query, key, value, out)
        return out.view(rows, shape.query_heads * shape.head_dim)


def random_prompt(shape: Shape, tokens: int, device: torch.device) -> dict[str, torch.Tensor]:
    """q, k, v and out of one layer."""

    def tensor(heads: int) -> torch.Tensor:
        return random_tensor(device, tokens, heads, shape.head_dim, deviation=1)

    q, k, v = (tensor(heads) for heads in (shape.query_heads, shape.kv_heads, shape.kv_heads))
    return {"q": q, "k": k, "v": v, "out": torch.empty_like(q)}


def fill_session(session: moa_compile.Session, shape: Shape, tokens: int) -> None:
    """Gives every sequence so many tokens in all layers: a prefill of attention alone, one sequence
    after the other, all from the same random tensors. A cache needs data, not different data, and
    pages of its own, which forks would not have."""
    prompt = random_prompt(shape, tokens, session.device)
    for slot in range(session.slots):
        ends = [0 if at <= slot else tokens for at in range(session.slots + 1)]
        for layer in range(shape.layers):
            session.prefill(layer, **prompt, cu_seqlens=ends)


def measure_session(case: Case) -> dict[str, Any]:
    """A row of `bare`."""
    package = case.package()
    device = case.settings.device
    session = package.session(slots=case.rows, length_bound=case.tokens, device=device)
    fill_session(session, case.shape, filled_tokens(case))

    def capture(step: Callable[[], None]) -> Callable[[], None]:
        if not case.settings.is_gpu:
            # The emulator records launches of sessions alone.
            return step
        with session.graph() as captured:
            step()
        return captured.replay

    attention = SessionAttention(case.shape, session, case.device)
    facts = measure_steps(case, attention, capture)
    return {**facts, "cacheGiB": round(session.memory.cache / 2**30, 3), **density(session)}


def density(session: moa_compile.Session) -> dict[str, Any]:
    """What the cache takes of a dense one."""
    return {"cacheDensity": round(session.memory.cache / session.memory.dense, 4)}
