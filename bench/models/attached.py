"""Models that are attached to a package, and their caches."""

from typing import Any, Final

import torch
from torch import nn

import moa_compile
from moa_compile.hf.attach import new_cache

from .attention_only import attention_function, run_attention
from .bare import random_tensor
from .hugging_face import filled_tokens, make_model, measure_generation, random_ids
from .ours import density
from .settings import Case
from .shapes import Shape

# Tokens of all rows in one forward that fills: a few hundred MiB of queries.
_CHUNK: Final = 1 << 15


def attached_model(case: Case) -> Any:
    """The length bound is the case's."""
    package = case.package()
    model = make_model(case.shape, case.device)
    moa_compile.attach(model, package, length_bound=case.tokens)
    return model


def heads(
    shape: Shape, rows: int, columns: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random q, k and v as layers give them to attention: heads before columns, columns first in
    memory."""

    def tensor(count: int) -> torch.Tensor:
        size = (rows, columns, count, shape.head_dim)
        return random_tensor(device, *size, deviation=1).transpose(1, 2)

    return tensor(shape.query_heads), tensor(shape.kv_heads), tensor(shape.kv_heads)


def fill_cache(model: Any, cache: object, shape: Shape, rows: int, tokens: int) -> None:
    """Appends random keys and values to every row, in all layers: attention alone, in chunks, the
    same tensors for each layer."""
    device = next(model.parameters()).device
    attention = attention_function(model)
    chunk = max(64, _CHUNK // rows // 64 * 64)
    for begin in range(0, tokens, chunk):
        columns = min(chunk, tokens - begin)
        ids = random_ids(shape, rows, columns, device)
        query, key, value = heads(shape, rows, columns, device)

        def attend(_: int, module: nn.Module, given: Any = (query, key, value)) -> None:
            attention(module, *given, None, scaling=module.scaling)

        run_attention(model, ids, cache, attend)


def filled_cache(case: Case, model: Any, tokens: int) -> Any:
    """Of the case's rows, with so many tokens."""
    cache = new_cache(model, batch_size=case.rows, length_bound=case.tokens)
    fill_cache(model, cache, case.shape, case.rows, tokens)
    return cache


def measure_attached(case: Case) -> dict[str, Any]:
    """A row of `generate`."""
    with torch.no_grad():
        model = attached_model(case)
        cache = filled_cache(case, model, filled_tokens(case))
        facts = measure_generation(case, model, cache)
        session = cache.content.session
        held = {"cacheGiB": round(session.memory.cache / 2**30, 3)}
        return {**facts, **held, **density(session)}
