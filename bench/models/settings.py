"""What a run was asked for, and what follows for a point: lengths, steps and batch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

import moa_compile

from .points import DENSE, ONE, Point
from .shapes import Shape, shape_of

# --small divides lengths.
_SMALLER: Final = 32
_SMALL_ROWS: Final = 2


class NotMeasured(Exception):
    """Why a point is left out here. A row says so; nothing failed."""


@dataclass(frozen=True)
class Settings:
    """device: "cuda" or "cpu". gib: of weights and caches together. packages: a folder of packages
    by name (`packages.py`)."""

    device: str
    small: bool
    gib: float
    packages: str

    @property
    def is_gpu(self) -> bool:
        return self.device != "cpu"


@dataclass(frozen=True)
class Case:
    """A point with its numbers. tokens: the length bound N. rows: the batch."""

    point: Point
    settings: Settings
    shape: Shape
    tokens: int
    rows: int

    @property
    def device(self) -> torch.device:
        return torch.device(self.settings.device)

    def need_gpu(self, what: str) -> None:
        """Raises `NotMeasured` on the CPU."""
        if not self.settings.is_gpu:
            raise NotMeasured(f"{what} needs a GPU")

    def package(self) -> moa_compile.Package:
        return package_of(self.point, self.settings)


def package_of(point: Point, settings: Settings) -> moa_compile.Package:
    """Raises `NotMeasured` where it was not made."""
    folder = Path(settings.packages) / point.package
    if not (folder / "definition.json").exists():
        raise NotMeasured(f"there is no package {point.package}")
    return moa_compile.load(folder)


def case_of(point: Point, settings: Settings) -> Case:
    """Raises `NotMeasured` where not even one sequence fits."""
    shape = shape_of(point.model, settings.small)
    tokens = point.tokens // _SMALLER if settings.small else point.tokens
    if point.batch == ONE:
        rows = 1
    elif settings.small:
        rows = _SMALL_ROWS
    else:
        rows = _most_rows(point, settings, shape, tokens)
        if rows < 1:
            raise NotMeasured(f"no sequence fits into {settings.gib:g} GiB beside the weights")
    return Case(point, settings, shape, tokens, rows)


def _most_rows(point: Point, settings: Settings, shape: Shape, tokens: int) -> int:
    """Ours fill the bytes of as many dense caches as there is memory for: a rest that no dense
    cache fits into is not used by them either."""
    left, dense = settings.gib * 2**30 - shape.weight_bytes, shape.kv_bytes(tokens)
    if point.is_ours and point.batch != DENSE:
        own = package_of(point, settings).memory(slots=1, length_bound=tokens).cache
        return int(left // dense) * dense // own
    if point.kind == "bare":
        return int(left // dense)
    # transformers copies the keys of a layer to append one, and with a mask repeats keys and values
    # of a layer for each query head.
    copied = 0.5 + (shape.group if shape.group > 1 else 0)
    return int(left // (dense * (1 + copied / shape.layers)))
