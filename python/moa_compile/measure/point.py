"""One measurement: generations of a model from random prompts of equal length."""

from dataclasses import dataclass
from typing import Any, Final

import torch

from ..errors import CODES, MoaError
from .energy import meter_of
from .timing import decode_facts, energy_facts, median_seconds, reset_peak, seconds_of

# Of the first token: the median of so many.
_TIMES: Final = 3
# Before anything is measured: a step that is captured is run twice before it is replayed.
_WARM_UP_TOKENS: Final = 4
_OUT_OF_MEMORY: Final = "out of memory"


@dataclass(frozen=True)
class Point:
    """length: tokens of each sequence at the end, of which `new_tokens` are generated."""

    length: int
    batch: int
    new_tokens: int


def measure_point(model: Any, point: Point, options: dict[str, Any]) -> dict[str, Any]:
    """Figures of a point; `{"error": "out of memory"}` where it does not fit.

    options: of `generate`. firstTokenSeconds: of the prompt and one token, the median. msPerStep,
    tokensPerSecond: of the tokens behind it. GiB: the most memory while it ran, weights not
    counted. joulesPerToken: of the whole GPU, where it can be read.
    """
    try:
        return _measured(model, point, options)
    except torch.OutOfMemoryError:
        return {"error": _OUT_OF_MEMORY}
    except MoaError as error:
        if error.code != CODES["outOfMemory"]:
            raise
        return {"error": _OUT_OF_MEMORY}


def _measured(model: Any, point: Point, options: dict[str, Any]) -> dict[str, Any]:
    device = next(model.parameters()).device
    vocabulary = model.config.get_text_config().vocab_size
    prompt = point.length - point.new_tokens
    ids = torch.randint(1, vocabulary, (point.batch, prompt), device=device)

    def generate(tokens: int) -> None:
        with torch.no_grad():
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                **options,
            )

    reset_peak(device)
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    generate(_WARM_UP_TOKENS)
    first = median_seconds(device, lambda: generate(1), _TIMES)
    meter = meter_of(device)
    with meter.while_running() as reading:
        whole = seconds_of(device, lambda: generate(point.new_tokens))
    steps = point.new_tokens - 1
    facts = decode_facts(max(whole - first, 1e-9), steps, point.batch)
    memory = {}
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) - before
        memory = {"GiB": round(peak / 2**30, 3)}
    energy = energy_facts(meter, reading.watts, facts["tokensPerSecond"])
    return {"firstTokenSeconds": round(first, 4), **facts, **memory, **energy}
