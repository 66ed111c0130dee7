"""What a session is made from, checked before anything is allocated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from .definition import Definition, ElementType, Kernel, has_learned_sinks, layer_numbers
from .errors import MoaError, session_error
from .rope_frequencies import single
from .words import describe, is_integer

TORCH_TYPES: Final[dict[ElementType, torch.dtype]] = {"bf16": torch.bfloat16, "fp16": torch.float16}

# Rows of numbers, as lists or as a tensor.
Table = Sequence[Sequence[float]] | torch.Tensor


@dataclass(frozen=True)
class SessionOptions:
    """Options of `Package.session`, which says what they mean."""

    slots: int
    length_bound: int
    element_type: ElementType
    pages: int | None
    decode_tokens: int
    layers: tuple[int, ...] | None
    scale: float | None
    rope: object
    sink_logits: list[list[float]] | None
    cache_scales: tuple[list[list[float]], list[list[float]]] | None
    slots_free: bool


def bad_options(message: str) -> MoaError:
    """MOA6106"""
    return session_error("badOptions", message)


def check_integer(
    name: str, value: object, least: int, most: int, printed: str, unit: str = ""
) -> int:
    """The value, found to be an integer in a range whose end is printed so."""
    if isinstance(value, int) and is_integer(value) and least <= value <= most:
        return value
    raise bad_options(
        f"{name} is {describe(value)}; it must be an integer from {least} to {printed}{unit}"
    )


def check_layers(definition: Definition, layers: object) -> tuple[int, ...] | None:
    """Numbers of layers, found to be strictly increasing."""
    if layers is None:
        return None
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise bad_options(
            f"layers is {describe(layers)}; it must be a sequence of numbers of layers"
        )
    last = layer_numbers(definition)[-1]
    for index, layer in enumerate(layers):
        before = -1 if index == 0 else layers[index - 1]
        if not is_integer(layer) or layer <= before or layer > last:
            message = (
                f"layers[{index}] is {describe(layer)}; layers rise, without repeats, from 0 to "
                f"{last}"
            )
            raise bad_options(message)
    if len(layers) == 0:
        raise bad_options("layers is empty")
    return tuple(layers)


def check_scale(scale: object) -> float | None:
    """A factor that is positive and finite as the float32 that it becomes, also when kernels have
    multiplied it by log2 e."""
    if scale is None:
        return None
    problem = positive_problem(scale, math.log2(math.e))
    if problem is not None or not isinstance(scale, (int, float)):
        raise bad_options(f"scale {problem}")
    return scale


def positive_problem(value: object, factor: float = 1.0) -> str | None:
    """What is wrong with a number that becomes a float32 on the device and has to be positive
    there."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        return f"is {describe(value)}; it must be a positive number"
    if value == math.inf:
        return "is Infinity; it must be positive and finite"
    as_single = single(value)
    if as_single in (0, math.inf):
        return f"is {value}, which is {'0' if as_single == 0 else 'Infinity'} as a float32"
    if not 0 < single(as_single * factor) < math.inf:
        size = "large" if as_single > 1 else "small"
        return f"is {value}, which is too {size} for what float32 arithmetic makes of it"
    return None


def check_decode_tokens(usable: Sequence[Kernel], tokens: object) -> int:
    """The most new tokens of a sequence in a decode, at most what the package's kernels take."""
    most = max(1, *(kernel.get("tokens", 1) for kernel in usable))
    if isinstance(tokens, int) and is_integer(tokens) and 1 <= tokens <= most:
        return tokens
    takes = "one token at a time" if most == 1 else f"1 to {most} tokens at once"
    raise bad_options(f"decode_tokens is {describe(tokens)}; the package decodes {takes}")


def check_sink_logits(definition: Definition, logits: Table | None) -> list[list[float]] | None:
    """`[layer of the plan][query head]`, required of a package with learned sinks and not allowed
    elsewhere."""
    if not has_learned_sinks(definition):
        if logits is None:
            return None
        raise bad_options(
            "sink_logits are for a model with learned sinks; this package was compiled without them"
        )
    if logits is None:
        raise bad_options(
            "sink_logits are missing: the package was compiled for a model with learned sinks, "
            "which are part of the model's "
            "weights"
        )
    rows = _rows(
        "sink_logits",
        logits,
        definition["shape"]["layers"],
        definition["shape"]["queryHeads"],
        "query heads",
    )
    for layer, row in enumerate(rows):
        for head, logit in enumerate(row):
            if logit != -math.inf and not math.isfinite(single(logit)):
                raise bad_options(
                    f"sink_logits[{layer}][{head}] is {logit}; it must be a number that is finite "
                    f"as a float32, or -Infinity"
                )
    return rows


def check_cache_scales(
    definition: Definition, scales: tuple[Table, Table] | None
) -> tuple[list[list[float]], list[list[float]]] | None:
    """Scales of keys and of values, `[layer of the plan][KV head]` each, of a cache of 8 bits."""
    if scales is None:
        return None
    if definition["layout"]["cacheType"] != "e4m3":
        raise bad_options(
            "cache_scales are for a cache in e4m3; this package stores the element type"
        )
    shape = definition["shape"]
    keys, values = (
        _rows(f"cache_scales.{name}", table, shape["layers"], shape["kvHeads"], "KV heads")
        for name, table in zip(("keys", "values"), scales, strict=True)
    )
    for name, rows in (("keys", keys), ("values", values)):
        for layer, row in enumerate(rows):
            for head, scale in enumerate(row):
                # The largest code, 448, may stand for less: the largest number of a type.
                problem = positive_problem(scale, 416)
                if problem is not None:
                    raise bad_options(f"cache_scales.{name}[{layer}][{head}] {problem}")
    return keys, values


def _rows(name: str, table: Table, layers: int, heads: int, what: str) -> list[list[float]]:
    rows = table.tolist() if isinstance(table, torch.Tensor) else [list(row) for row in table]
    if len(rows) != layers:
        raise bad_options(f"{name} has {len(rows)} layers; the plan has {layers}")
    for layer, row in enumerate(rows):
        if len(row) != heads:
            raise bad_options(
                f"{name}[{layer}] has {len(row)} entries; the plan has {heads} {what}"
            )
    return rows
