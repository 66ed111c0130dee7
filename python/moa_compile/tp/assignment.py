"""Which heads each rank has: `tensor-parallel.json` of a package for several ranks
(docs/tensor-parallel.md)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..words import describe
from .problems import problem

_NAME: Final = "tensor-parallel.json"
_FORMAT: Final = ("moa-tensor-parallel", 1)


@dataclass(frozen=True)
class LayerHeads:
    """Heads of the model that one rank has in one layer, in the order that they have there."""

    query: tuple[int, ...]
    kv: tuple[int, ...]


@dataclass(frozen=True)
class Assignment:
    """`layers[layer][rank]`. `packages`: the folder of each rank's package. The other numbers are
    the whole model's. `digest`: of the file, by which ranks know that they read the same."""

    folder: Path
    packages: tuple[str, ...]
    query_heads: int
    kv_heads: int
    head_dim: int
    layers: tuple[tuple[LayerHeads, ...], ...]
    digest: str

    @property
    def ranks(self) -> int:
        return len(self.packages)

    def package(self, rank: int) -> Path:
        """The folder of a rank's package."""
        return self.folder / self.packages[rank]

    def of_rank(self, rank: int) -> tuple[LayerHeads, ...]:
        """What a rank has in each layer."""
        return tuple(layer[rank] for layer in self.layers)


def read_assignment(folder: Path) -> Assignment:
    """Reads the file. Raises MOA6321 where the folder has none, or a damaged one."""
    path = folder / _NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        what = f"{folder} has no {_NAME}" if folder.is_dir() else f"there is no folder {folder}"
        raise problem("rankPackage", f"{what}: it is no package for several ranks") from error
    try:
        value = json.loads(content)
        found = (value["format"], value["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "is not JSON of an assignment") from error
    if found != _FORMAT:
        written = f"{describe(found[0])}, version {describe(found[1])}"
        raise _damaged(path, f"has format {written}; this runtime reads {_FORMAT[0]}, version 1")
    try:
        assignment = _assignment(folder, value, hashlib.sha256(content).hexdigest())
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "lacks a field, or one has another kind") from error
    if not _is_whole(assignment):
        raise _damaged(path, "does not give each head to one rank, as many to each")
    return assignment


def _assignment(folder: Path, value: dict[str, Any], digest: str) -> Assignment:
    model, packages = value["model"], tuple(str(name) for name in value["packages"])
    layers = tuple(
        tuple(
            LayerHeads(tuple(map(int, query)), tuple(map(int, kv)))
            for query, kv in zip(layer["queryHeads"], layer["kvHeads"], strict=True)
        )
        for layer in value["layers"]
    )
    return Assignment(
        *(folder, packages, int(model["queryHeads"]), int(model["kvHeads"])),
        *(int(model["headDim"]), layers, digest),
    )


def _is_whole(assignment: Assignment) -> bool:
    ranks = assignment.ranks
    names = [Path(name) for name in assignment.packages]
    return (
        ranks > 0
        and all(len(name.parts) == 1 and name.name != ".." for name in names)
        and all(
            len(layer) == ranks
            and _is_shared([rank.query for rank in layer], assignment.query_heads)
            and _is_shared([rank.kv for rank in layer], assignment.kv_heads)
            for layer in assignment.layers
        )
    )


def _is_shared(parts: Sequence[Sequence[int]], heads: int) -> bool:
    each = sorted(head for part in parts for head in part)
    return each == list(range(heads)) and len({len(part) for part in parts}) == 1


def _damaged(path: Path, what: str) -> Exception:
    return problem("rankPackage", f"{path} {what}", "compile the plan again with --tp")
