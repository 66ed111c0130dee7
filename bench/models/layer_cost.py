"""What a decode step of an attached model costs the host in our layers, in eager mode."""

import statistics
import time
from typing import Any, Final

import torch
from torch import nn

from .attached import attached_model, filled_cache, heads
from .attention_only import attention_function, run_attention
from .hugging_face import random_ids
from .settings import Case
from moa_compile.measure.timing import synchronize

_STEPS: Final = 64
_WARM_UPS: Final = 8
_TOKENS: Final = 1024
_SMALL_STEPS: Final = 2


def measure_layer_cost(case: Case) -> dict[str, Any]:
    """A row of `layer-cost`: microseconds of the host. usPerCall: one call of our attention
    function, the median. usPerLayer: a whole step, with what is done once for all layers, over the
    layers. sessionUs: `Session.decode` alone.

    The GPU is never waited for: a step of attention takes it less than the host.
    """
    small = case.settings.small
    warm_ups, steps = (1, _SMALL_STEPS) if small else (_WARM_UPS, _STEPS)
    with torch.no_grad():
        model = attached_model(case)
        filled = case.tokens // 2 if small else _TOKENS
        cache = filled_cache(case, model, filled)
        attention, calls, wholes = attention_function(model), [], []
        query, key, value = heads(case.shape, case.rows, 1, case.device)

        def attend(_: int, module: nn.Module) -> None:
            start = time.perf_counter()
            attention(module, query, key, value, None, scaling=module.scaling)
            calls.append(time.perf_counter() - start)

        for step in range(warm_ups + steps):
            ids = random_ids(case.shape, case.rows, 1, case.device)
            synchronize(case.device)
            start = time.perf_counter()
            run_attention(model, ids, cache, attend)
            wholes.append(time.perf_counter() - start)
            if step == warm_ups - 1:
                calls.clear()
                wholes.clear()
        session_us = _session_us(case, cache.content.session, steps)
    return {
        "usPerCall": round(statistics.median(calls) * 1e6, 2),
        "usPerLayer": round(statistics.median(wholes) / case.shape.layers * 1e6, 2),
        "sessionUs": round(session_us, 2),
    }


def _session_us(case: Case, session: Any, steps: int) -> float:
    query, key, value = (
        each.transpose(1, 2).contiguous() for each in heads(case.shape, case.rows, 1, case.device)
    )
    out, times = torch.empty_like(query), []
    for step in range(steps):
        synchronize(case.device)
        for layer in range(case.shape.layers):
            start = time.perf_counter()
            session.decode(layer, query, key, value, out)
            if step > 0:
                times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6
