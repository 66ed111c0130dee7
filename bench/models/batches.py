"""Continuous batching: prompts in, texts out. Decode speed is of the time in which all sequences
decode, from the last first token to the first end."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

import moa_compile

from .attached import attached_model
from .hugging_face import make_model, random_ids
from .settings import Case, NotMeasured
from .timing import decode_facts, memory_facts, reset_peak, seconds_of

_NEW: Final = 96


def measure_continuous(case: Case) -> dict[str, Any]:
    """A row of `batches`: transformers' `generate_batch`, with a cache for these sequences."""
    case.need_gpu("continuous batching of transformers")
    from transformers import ContinuousBatchingConfig

    with torch.no_grad():
        model = make_model(case.shape, case.device)
        config = ContinuousBatchingConfig()
        page = getattr(config, "page_size", None) or config.block_size
        config.num_blocks = case.rows * (math.ceil(case.tokens / page) + 1)
        return _measure(case, model.generate_batch, continuous_batching_config=config)


def measure_ours(case: Case) -> dict[str, Any]:
    """A row of `batches`: `moa_compile.generate_batch`."""
    generate_batch = getattr(moa_compile, "generate_batch", None)
    if generate_batch is None:
        raise NotMeasured("moa_compile has no generate_batch yet")
    with torch.no_grad():
        model = attached_model(case)
        return _measure(case, lambda inputs, **options: generate_batch(model, inputs, **options))


def _measure(case: Case, generate_batch: Any, **options: Any) -> dict[str, Any]:
    from transformers import GenerationConfig

    new = 4 if case.settings.small else _NEW
    ids = random_ids(case.shape, case.rows, case.tokens - new - 1, case.device).tolist()
    generation = GenerationConfig(
        max_new_tokens=new, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    results: dict[str, Any] = {}

    def run() -> None:
        given = {"generation_config": generation, "record_timestamps": True, **options}
        results.update(generate_batch(ids, **given))

    reset_peak(case.device)
    seconds = seconds_of(case.device, run)
    if len(results) < case.rows:
        raise RuntimeError(f"{len(results)} of {case.rows} sequences came back")
    facts = decode_between([each.timestamps for each in results.values()])
    speed = round(case.rows * new / seconds, 2)
    whole = {"seconds": round(seconds, 3), "wholeTokensPerSecond": speed}
    return {**facts, **whole, **memory_facts(case.device)}


def decode_between(timestamps: Sequence[Sequence[float]]) -> Mapping[str, Any]:
    """Facts of the time in which every sequence decodes: `timestamps` of each one's tokens. Nothing
    where that is shorter than two tokens."""
    begin, end = max(each[0] for each in timestamps), min(each[-1] for each in timestamps)
    tokens = sum(begin < at <= end for each in timestamps for at in each)
    if end <= begin or tokens < 2 * len(timestamps):
        return {}
    steps = tokens // len(timestamps)
    return decode_facts(end - begin, steps, len(timestamps))
