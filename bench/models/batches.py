"""Continuous batching: prompts in, texts out. Decode speed is of the time in which all sequences
decode, from the last first token to the first end."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch

import moa_compile

from .attached import attached_model
from .hugging_face import make_model, random_ids
from .settings import Case
from moa_compile.measure.timing import decode_facts, memory_facts, reset_peak, seconds_of

_NEW: Final = 96


# Generates so many new tokens behind each prompt. Returns the times of each one's tokens.
Generate = Callable[[list[list[int]], int], list[list[float]]]


def measure_continuous(case: Case) -> dict[str, Any]:
    """A row of `batches`: transformers' `generate_batch`, with a cache for these sequences."""
    case.need_gpu("continuous batching of transformers")
    from transformers import ContinuousBatchingConfig, GenerationConfig

    with torch.no_grad():
        model = make_model(case.shape, case.device)
        config = ContinuousBatchingConfig()
        page = getattr(config, "page_size", None) or config.block_size
        config.num_blocks = case.rows * (math.ceil(case.tokens / page) + 1)

        def generate(prompts: list[list[int]], new: int) -> list[list[float]]:
            generation = GenerationConfig(
                max_new_tokens=new, do_sample=False, eos_token_id=-1, pad_token_id=0
            )
            results = model.generate_batch(
                prompts,
                generation_config=generation,
                record_timestamps=True,
                continuous_batching_config=config,
            )
            return [each.timestamps for each in results.values()]

        return _measure(case, generate)


def measure_ours(case: Case) -> dict[str, Any]:
    """A row of `batches`: `moa_compile.generate_batch`, greedily."""
    with torch.no_grad():
        model = attached_model(case)

        def generate(prompts: list[list[int]], new: int) -> list[list[float]]:
            times: list[list[float]] = [[] for _ in prompts]

            def choose(logits: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
                for number in numbers:
                    times[number].append(time.perf_counter())
                return logits.argmax(-1)

            texts = moa_compile.generate_batch(
                model,
                prompts,
                max_new_tokens=new,
                slots=case.rows,
                length_bound=case.tokens,
                stop=(),
                choose=choose,
            )
            return [times[text.prompt] for text in texts]

        return _measure(case, generate)


def _measure(case: Case, generate: Generate) -> dict[str, Any]:
    new = 4 if case.settings.small else _NEW
    ids = random_ids(case.shape, case.rows, case.tokens - new - 1, case.device).tolist()
    times: list[list[float]] = []
    reset_peak(case.device)
    seconds = seconds_of(case.device, lambda: times.extend(generate(ids, new)))
    if len(times) < case.rows:
        raise RuntimeError(f"{len(times)} of {case.rows} sequences came back")
    speed = round(case.rows * new / seconds, 2)
    whole = {"seconds": round(seconds, 3), "wholeTokensPerSecond": speed}
    return {**decode_between(times), **whole, **memory_facts(case.device)}


def decode_between(timestamps: Sequence[Sequence[float]]) -> Mapping[str, Any]:
    """Facts of the time in which every sequence decodes: `timestamps` of each one's tokens. Nothing
    where that is shorter than two tokens."""
    begin, end = max(each[0] for each in timestamps), min(each[-1] for each in timestamps)
    tokens = sum(begin < at <= end for each in timestamps for at in each)
    if end <= begin or tokens < 2 * len(timestamps):
        return {}
    steps = tokens // len(timestamps)
    return decode_facts(end - begin, steps, len(timestamps))
