"""The time from a prompt to its first token, and the part of it that is attention."""

import statistics
from collections.abc import Callable
from typing import Any, Final

import torch

from .attached import attached_model
from .attention_only import wrapped_attention
from .hugging_face import generate, make_model, random_ids
from .ours import random_prompt
from .settings import Case
from moa_compile.measure.timing import median_seconds, memory_facts, reset_peak, seconds_of

_TIMES: Final = 3


def measure_ours(case: Case) -> dict[str, Any]:
    """A row of `first-token`. kernelMs: prefill of a session alone, all layers."""
    with torch.no_grad():
        facts = _measure(case, attached_model(case))
        return {**facts, "kernelMs": round(_kernel_seconds(case) * 1e3, 3)}


def measure_sdpa(case: Case) -> dict[str, Any]:
    """A row of `first-token`: transformers as it comes."""
    with torch.no_grad():
        return _measure(case, make_model(case.shape, case.device))


def _measure(case: Case, model: Any) -> dict[str, Any]:
    """The first of all generations makes allocations and loads kernels."""
    ids = random_ids(case.shape, 1, _prompt(case), case.device)

    def first() -> None:
        generate(model, ids, 1)

    reset_peak(case.device)
    cold = seconds_of(case.device, first)
    warm = median_seconds(case.device, first, 1 if case.settings.small else _TIMES)
    facts = {"firstTokenMs": round(warm * 1e3, 3), "coldMs": round(cold * 1e3, 3)}
    if case.settings.is_gpu:
        attention = _attention_ms(model, first)
        facts["attentionMs"] = round(attention, 3)
    return {**facts, **memory_facts(case.device)}


def _prompt(case: Case) -> int:
    return case.tokens - 1


def _attention_ms(model: Any, first: Callable[[], None]) -> float:
    """From the beginning of each attention call to its end on the GPU, all layers."""
    spans: list[tuple[Any, Any]] = []

    def timed(attention: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            result = attention(*args, **kwargs)
            end.record()
            spans.append((start, end))
            return result

        return call

    with wrapped_attention(model, timed):
        first()
    torch.cuda.synchronize()
    return float(sum(start.elapsed_time(end) for start, end in spans))


def _kernel_seconds(case: Case) -> float:
    package, tokens = case.package(), _prompt(case)
    session = package.session(
        slots=1, length_bound=case.tokens, rope="none", device=case.settings.device
    )
    prompt = random_prompt(case.shape, tokens, case.device)

    def prefill() -> float:
        session.reset()

        def layers() -> None:
            for layer in range(case.shape.layers):
                session.prefill(layer, **prompt, cu_seqlens=[0, tokens])

        return seconds_of(case.device, layers)

    prefill()
    return statistics.median(prefill() for _ in range(1 if case.settings.small else _TIMES))
