"""`definition.json` of a package (docs/package-format.md)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, cast

from .errors import MoaError
from .expressions import Expression, Limits, Rule
from .words import describe

FORMAT: Final = 8

ElementType = Literal["bf16", "fp16"]
SetName = Literal["session", "decode", "prefill"]


class _ShapeNumbers(TypedDict, total=False):
    layerNumbers: list[int]


class Shape(_ShapeNumbers):
    layers: int
    queryHeads: int
    kvHeads: int
    headDim: int


class Attention(TypedDict):
    scale: float
    softCap: float
    learnedSinks: bool


class Layout(TypedDict):
    pageTokens: int
    pageBytes: int
    cacheType: Literal["element", "e4m3"]


class Ring(TypedDict):
    """KV heads whose rings are equal; `rules` index rules, `span` (tokens) and `pages` index
    expressions."""

    kvHeads: list[int]
    rules: list[int]
    span: int
    pages: int


class _LayerRope(TypedDict, total=False):
    rope: int | None


class Layer(_LayerRope):
    """`heads`: the rule of each query head."""

    modelWindow: int | None
    sink: int
    heads: list[int]
    rings: list[Ring]


class Field(TypedDict):
    name: str
    type: str
    offset: int


class Struct(TypedDict):
    bytes: int
    fields: list[Field]


class Planner(TypedDict):
    """What launches of any kernel need. `sharedBytes`: dynamic shared memory of a block."""

    name: str
    threads: int
    sharedBytes: int
    grid: Expression
    params: str
    source: str
    sha256: str


class _KernelOptions(TypedDict, total=False):
    tokens: int
    rotaryDim: int
    pairing: Literal["halves", "interleaved"]
    learnedSinks: bool


class Kernel(Planner, _KernelOptions):
    role: Literal["append", "prefill", "decode", "expand"]
    variant: str
    elementType: ElementType
    rope: bool
    partialFloats: int
    blocksPerSm: int
    rows: int
    architectures: list[str]
    layers: list[int]


class Initial(TypedDict, total=False):
    kind: Literal["none", "bytes", "range", "table", "host"]
    value: int
    first: Expression
    step: int
    name: str


class BufferDefinition(TypedDict):
    element: str
    shape: list[Expression]
    initial: Initial


class BufferSetDefinition(TypedDict):
    sizes: dict[str, Expression]
    buffers: dict[str, BufferDefinition]


class PrefillSchedule(TypedDict):
    cacheShare: float
    splitPages: int
    splitShare: list[int]
    byCost: bool


class DecodeSchedule(TypedDict):
    minPages: int
    segmentPages: int


class Ptx(TypedDict):
    path: str
    architectures: list[str]


class TensorParallel(TypedDict):
    """The rank that a package is for. kvHeads: the model's, `[layer][KV head of the rank]`."""

    rank: int
    ranks: int
    kvHeads: list[list[int]]


class _DefinitionOptions(TypedDict, total=False):
    attention: Attention
    ropes: list[dict[str, Any]]
    ptx: Ptx
    tensorParallel: TensorParallel


class Definition(_DefinitionOptions):
    format: int
    shape: Shape
    limits: Limits
    layout: Layout
    rules: list[Rule]
    expressions: list[Expression]
    layers: list[Layer]
    kernels: list[Kernel]
    planners: dict[str, Planner]
    tables: dict[str, list[Any]]
    params: dict[str, Struct]
    structs: dict[str, Struct]
    enums: dict[str, dict[str, int]]
    buffers: Mapping[SetName, BufferSetDefinition]
    prefill: PrefillSchedule
    decode: DecodeSchedule
    cubins: dict[str, str]


def damaged(message: str) -> MoaError:
    """MOA6204"""
    return MoaError(
        "packageDamaged", message, "compile the plan again and replace the whole package"
    )


def read_definition(path: Path) -> Definition:
    """Reads `definition.json`. Raises MOA6201 for another format than this one, MOA6204 where it
    cannot be read."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = type(error).__name__ if not isinstance(error, OSError) else error.strerror
        raise damaged(
            f"{path} cannot be read ({reason}): it is no package, or one of an older moa-compile"
        ) from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise damaged(f"{path} is not JSON") from error
    if not isinstance(value, dict):
        raise damaged(f"{path} is not a definition")
    if value.get("format") != FORMAT:
        raise MoaError(
            "packageFormat",
            f"the package has format {describe(value.get('format'))}; this runtime reads format "
            f"{FORMAT}",
            "compile the plan again with the moa-compile that is installed",
        )
    return cast(Definition, value)


def layer_numbers(definition: Definition) -> list[int]:
    """The number in the model of each layer of the plan, rising."""
    shape = definition["shape"]
    return shape.get("layerNumbers", list(range(shape["layers"])))


def default_scale(definition: Definition) -> float:
    """What q.k is multiplied by."""
    attention = definition.get("attention")
    return definition["shape"]["headDim"] ** -0.5 if attention is None else attention["scale"]


def has_learned_sinks(definition: Definition) -> bool:
    """Whether kernels take the model's logits of learned sinks."""
    attention = definition.get("attention")
    return attention is not None and attention["learnedSinks"]


def field_offset(struct: Struct, name: str) -> int:
    """Bytes from the start of a struct to a field."""
    return next(field["offset"] for field in struct["fields"] if field["name"] == name)
