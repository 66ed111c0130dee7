"""What a session is told of rotary position embeddings, and the tables that kernels rotate by
(docs/package-format.md)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch

from .definition import Definition
from .errors import MoaError, session_error
from .rope_frequencies import RopeFrequencies, rope_frequencies, single
from .words import describe

# `theta`, or `inverse_frequencies` with `attention_factor`, or `cos_sin`; docs/python.md says what
# each is.
RopeOption = Literal["model", "none"] | Mapping[str, object] | None

_FORMS: Final = (
    '"model", "none", {"theta"}, {"inverse_frequencies", "attention_factor"} or {"cos_sin"}'
)
_KINDS: Final = ("theta", "inverse_frequencies", "cos_sin")
# Angles from here on are not corrected to those of binary32.
_LARGEST_ROUNDED_ANGLE: Final = 2**20
# Rows whose angles are sums of two.
_RUN: Final = 64
# How far the length of (cos, sin) may be from that of the others, in parts of it.
_TOLERANCE: Final = 1e-5


@dataclass(frozen=True)
class RopeTable:
    """`values`: float32. `shift`: log2 of the positions of a block."""

    values: torch.Tensor
    shift: int
    pairs: int
    blocks: int


@dataclass(frozen=True)
class SessionRope:
    """The rotations of a session, and which of them each layer of the plan has: None where it is
    not rotated."""

    tables: list[RopeTable]
    layers: dict[int, int | None]


def read_rope(
    given: object, definition: Definition, plan_layers: Sequence[int], length_bound: int
) -> SessionRope:
    """Reads the option `rope` for layers of the plan. By default the model's where the package has
    it, else none.

    Raises MOA6106.
    """
    rope = ("none" if "ropes" not in definition else "model") if given is None else given
    if rope == "none":
        return SessionRope([], dict.fromkeys(plan_layers))
    if rope == "model":
        return _model_rope(definition, plan_layers, length_bound)
    dims = {layer: _rotary_dim(definition, layer) for layer in plan_layers}
    used = list(dict.fromkeys(dim for dim in dims.values() if dim is not None))
    tables = _told_tables(rope, used, length_bound)
    return SessionRope(
        tables, {layer: None if dim is None else used.index(dim) for layer, dim in dims.items()}
    )


def _fail(message: str) -> MoaError:
    return session_error("badOptions", message)


def _model_rope(
    definition: Definition, plan_layers: Sequence[int], length_bound: int
) -> SessionRope:
    ropes = definition.get("ropes")
    if ropes is None:
        raise _fail(
            'rope is "model", and the package has no RoPE of a model: compile the plan with '
            "--model config.json and without "
            "--no-rope, or say how to rotate"
        )
    of_layer = {layer: definition["layers"][layer].get("rope") for layer in plan_layers}
    used = list(dict.fromkeys(rope for rope in of_layer.values() if rope is not None))
    tables = [
        build_table(rope_frequencies(ropes[rope], length_bound), length_bound) for rope in used
    ]
    return SessionRope(
        tables,
        {layer: None if rope is None else used.index(rope) for layer, rope in of_layer.items()},
    )


def _rotary_dim(definition: Definition, layer: int) -> int | None:
    """The elements of a head that the kernels of a layer turn; None where the model has no RoPE in
    that layer."""
    if "ropes" in definition and definition["layers"][layer].get("rope") is None:
        return None
    head_dim = definition["shape"]["headDim"]
    rotating = (k for k in definition["kernels"] if k["rope"] and layer in k["layers"])
    # Where no kernel rotates, the session finds none (MOA6202).
    return next((kernel.get("rotaryDim", head_dim) for kernel in rotating), head_dim)


def _told_tables(rope: object, dims: list[int], length_bound: int) -> list[RopeTable]:
    kind, value, factor = _read_form(rope)
    if kind != "theta" and len(dims) > 1:
        turned = " and ".join(str(dim) for dim in dims)
        raise _fail(
            f"rope.{kind} is for one number of elements that turn; the layers of this session "
            f"turn {turned}: make a session "
            "for each kind of layer"
        )
    if kind == "cos_sin":
        return [_given_table(value, dim, length_bound) for dim in dims]
    if kind == "theta":
        plain = {"theta": _positive("theta", value), "scaling": {"type": "default"}}
        return [
            build_table(rope_frequencies({**plain, "rotaryDim": dim}, length_bound), length_bound)
            for dim in dims
        ]
    own = None if factor is None else _positive("attention_factor", factor)
    return [build_table(_check_frequencies(value, own, dim), length_bound) for dim in dims]


def _read_form(rope: object) -> tuple[str, object, object]:
    if not isinstance(rope, Mapping):
        raise _fail(f"rope is {describe(rope)}; it is {_FORMS}")
    for key in rope:
        if key not in (*_KINDS, "attention_factor"):
            raise _fail(f"rope has an unknown key {describe(key)}. It is {_FORMS}")
    given = [kind for kind in _KINDS if kind in rope]
    if len(given) != 1:
        raise _fail(f"rope has {' and '.join(given) or 'nothing to rotate by'}; it is {_FORMS}")
    factor = rope.get("attention_factor")
    if factor is not None and given[0] != "inverse_frequencies":
        raise _fail(f"rope.attention_factor goes with inverse_frequencies, not with {given[0]}")
    return given[0], rope[given[0]], factor


def _positive(key: str, value: object) -> float:
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 < single(value) < math.inf
    ):
        return value
    raise _fail(f"rope.{key} is {describe(value)}; it is a positive number that float32 holds")


def _check_frequencies(value: object, factor: float | None, rotary_dim: int) -> RopeFrequencies:
    """Frequencies that no theta gives are scaled by some method, of which some have a factor: it
    has to be said there."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _fail(f"rope.inverse_frequencies is {describe(value)}; it is a sequence of numbers")
    part = (
        ". A model that turns a part of each head needs kernels for that: compile the plan with "
        "--model config.json"
    )
    pairs = rotary_dim // 2
    if len(value) != pairs:
        turned = f"kernels that turn {rotary_dim} elements of a head need {pairs}{part}"
        raise _fail(f"rope.inverse_frequencies has {len(value)} values; {turned}")
    for pair, each in enumerate(value):
        if not isinstance(each, (int, float)) or not 0 < single(each) < math.inf:
            more = part if each == 0 else ""
            raise _fail(
                f"rope.inverse_frequencies[{pair}] is {describe(each)}; it is a positive number "
                f"that float32 holds{more}"
            )
    inverse = [single(each) for each in value]
    ratio = inverse[1] / inverse[0]
    geometric = all(
        abs(b / a / ratio - 1) < 1e-5 for a, b in zip(inverse, inverse[1:], strict=False)
    )
    if factor is None and not geometric:
        raise _fail(
            "rope.inverse_frequencies are scaled: say rope.attention_factor too, what cos and sin "
            "are multiplied by; YaRN and "
            "LongRoPE have one, others have 1"
        )
    return RopeFrequencies(inverse, 1.0 if factor is None else factor)


def build_table(frequencies: RopeFrequencies, positions: int) -> RopeTable:
    """The table for positions 0 to `positions` - 1: blocks of about the root of that many. Angles
    are in binary64 of frequencies in binary32; the rows of blocks hold the attention factor."""
    shift = math.ceil(math.log2(positions) / 2)
    block = 2**shift
    blocks = -(-positions // block)
    inverse = frequencies.inverse
    corrected = [each if each * positions < _LARGEST_ROUNDED_ANGLE else 0.0 for each in inverse]
    parts = [
        torch.tensor(corrected, dtype=torch.float32),
        _angles(inverse, block, 1, 1.0),
        _angles(inverse, blocks, block, frequencies.attention_factor),
    ]
    return RopeTable(torch.cat(parts), shift, len(inverse), blocks)


def _angles(frequencies: list[float], rows: int, step: int, factor: float) -> torch.Tensor:
    """`[rows][pairs][2]`: cos and sin of each pair, `step` positions apart, times `factor`."""
    starts = range(0, rows, _RUN)

    def table(function: object, positions: Sequence[int], times: float) -> torch.Tensor:
        of = math.cos if function == "cos" else math.sin
        values = [
            [times * of(row * step * frequency) for frequency in frequencies] for row in positions
        ]
        return torch.tensor(values, dtype=torch.float64)

    # [runs][1][pairs] and [rows of a run][pairs]: few angles are computed one by one, which takes
    # nearly all the time.
    cos, sin = (table(name, starts, factor)[:, None] for name in ("cos", "sin"))
    cos_within, sin_within = (table(name, range(_RUN), 1.0) for name in ("cos", "sin"))
    turned = torch.stack(
        (cos * cos_within - sin * sin_within, sin * cos_within + cos * sin_within), dim=-1
    )
    return turned.flatten(0, 1)[:rows].to(torch.float32).flatten()


def _given_table(value: object, rotary_dim: int, positions: int) -> RopeTable:
    """The table of given cos and sin, found to be one: blocks of one position, whose own angle is
    0."""
    pairs = rotary_dim // 2
    layout = f"[positions][{pairs}][2], cos and sin of a pair beside each other"
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
        raise _fail(f"rope.cos_sin is {describe(value)}; it is a tensor of float32")
    if value.numel() != positions * rotary_dim:
        raise _fail(
            f"rope.cos_sin has {value.numel()} values; {positions} positions, as many as the "
            f"length bound, need "
            f"{positions * rotary_dim}: {layout}"
        )
    table = value.detach().cpu().reshape(positions, pairs, 2)
    first = float(table[0, 0, 0])
    if not 0 < first < math.inf:
        raise _fail(
            f"rope.cos_sin begins with {first}; that is cos 0 times the attention factor. The "
            f"layout is {layout}"
        )
    squares = table.double().square().sum(-1) / first**2
    if not bool(((squares - 1).abs() <= _TOLERANCE).all()):
        raise _fail(
            f"rope.cos_sin: cos^2 + sin^2 is {first**2:.6g} for every pair. The layout is {layout}"
        )
    if not bool((table[0, :, 1].abs() <= _TOLERANCE * first).all() and (table[0, :, 0] > 0).all()):
        raise _fail(f"rope.cos_sin: position 0 does not turn. The layout is {layout}")
    unturned = torch.tensor([1.0, 0.0]).repeat(pairs)
    values = torch.cat((torch.zeros(pairs), unturned, table.flatten()))
    return RopeTable(values, 0, pairs, positions)
