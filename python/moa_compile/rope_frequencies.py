"""Frequencies of rotary position embeddings (RoFormer, arXiv 2104.09864), with the roundings of
Hugging Face transformers (`ROPE_INIT_FUNCTIONS`): exponent, power and reciprocal are each rounded
to binary32."""

import math
from collections.abc import Mapping
from ctypes import c_float
from dataclasses import dataclass
from typing import Any


def single(value: float) -> float:
    """The binary32 number nearest to a value."""
    return c_float(value).value


@dataclass(frozen=True)
class RopeFrequencies:
    """`inverse`: radians a token of each pair, in binary32. `attention_factor` multiplies cos and
    sin."""

    inverse: list[float]
    attention_factor: float


def rope_frequencies(rope: Mapping[str, Any], length_bound: int) -> RopeFrequencies:
    """Of a rotation of the package. Dynamic and longrope depend on the length bound: beyond the
    original length theta grows with it, or the long factors hold."""
    theta, rotary_dim, scaling = rope["theta"], rope["rotaryDim"], rope["scaling"]
    kind, factor = scaling["type"], scaling.get("attentionFactor", 1.0)
    if kind == "dynamic":
        length = max(length_bound, scaling["originalLength"])
        grown = scaling["factor"] * length / scaling["originalLength"] - (scaling["factor"] - 1)
        theta = theta * grown ** (rotary_dim / (rotary_dim - 2))
    powers = [
        single(single(theta) ** single(2 * pair / rotary_dim)) for pair in range(rotary_dim // 2)
    ]
    plain = [single(1 / power) for power in powers]
    if kind in ("default", "dynamic"):
        values = plain
    elif kind == "linear":
        values = [frequency / single(scaling["factor"]) for frequency in plain]
    elif kind == "llama3":
        values = [_llama3(frequency, scaling) for frequency in plain]
    elif kind == "yarn":
        values = _yarn(powers, theta, rotary_dim, scaling)
    else:
        factors = scaling[
            "longFactors" if length_bound > scaling["originalLength"] else "shortFactors"
        ]
        values = [
            1 / single(single(each) * power) for each, power in zip(factors, powers, strict=True)
        ]
    return RopeFrequencies([single(value) for value in values], factor)


def _llama3(frequency: float, scaling: Mapping[str, Any]) -> float:
    """Wavelengths over `originalLength / lowFrequencyFactor` are stretched, and those between that
    and the other bound in part."""
    low, high = scaling["lowFrequencyFactor"], scaling["highFrequencyFactor"]
    original = scaling["originalLength"]
    wavelength = single(single(1 / frequency) * single(2 * math.pi))
    stretched = single(frequency / single(scaling["factor"]))
    if wavelength > single(original / low):
        return stretched
    if wavelength < single(original / high):
        return frequency
    turns = single(single(1 / wavelength) * single(original))
    smooth = single(single(turns - single(low)) / single(high - low))
    rest = single(single(single(1 - smooth) * frequency) / single(scaling["factor"]))
    return single(rest + single(smooth * frequency))


def _yarn(
    powers: list[float], theta: float, rotary_dim: int, scaling: Mapping[str, Any]
) -> list[float]:
    """Between the pairs that turn `betaFast` and `betaSlow` times in the original length, a ramp
    from the plain to the divided frequency (arXiv 2309.00071)."""

    def pair_of(turns: float) -> float:
        return (
            rotary_dim
            * math.log(scaling["originalLength"] / (turns * 2 * math.pi))
            / (2 * math.log(theta))
        )

    fast, slow = pair_of(scaling["betaFast"]), pair_of(scaling["betaSlow"])
    if scaling["truncate"]:
        fast, slow = math.floor(fast), math.ceil(slow)
    begin, end = max(fast, 0), min(slow, rotary_dim - 1)
    width = single(end + 0.001 - begin if begin == end else end - begin)
    values = []
    for pair, power in enumerate(powers):
        ramp = min(max(single(single(pair - single(begin)) / width), 0), 1)
        plain_part = single(1 - ramp)
        divided = single(1 / single(single(scaling["factor"]) * power))
        values.append(
            single(
                single(divided * single(1 - plain_part)) + single(single(1 / power) * plain_part)
            )
        )
    return values
