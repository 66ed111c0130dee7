"""The part of a parameter that a rank takes: ranges of its rows or of its columns."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

# Rows of a tile of a matrix product.
_TILE: Final = 64


@dataclass(frozen=True)
class Cut:
    """`ranges` `(begin, end)` of dimension `dim`, one after the other, of a tensor that has `size`
    there."""

    dim: int
    size: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def taken(self) -> int:
        """Rows, or columns, that the rank takes."""
        return sum(end - begin for begin, end in self.ranges)

    def shape(self, either: Sequence[int], is_whole: bool) -> list[int]:
        """The shape of the whole tensor, or of the part, from that of either."""
        shape = list(either)
        shape[self.dim] = self.size if is_whole else self.taken
        return shape

    def of_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """A contiguous copy of the part, so that the whole tensor can be freed."""
        return self.along(self.dim, tensor)

    def along(self, dim: int, tensor: torch.Tensor) -> torch.Tensor:
        """The same ranges of any dimension: of activations."""
        parts = [tensor.narrow(dim, begin, end - begin) for begin, end in self.ranges]
        return torch.cat(parts, dim).contiguous()

    def of_file(self, stored: Any) -> torch.Tensor:
        """The part of a tensor in a file: a slice of safetensors, of which no more is read."""
        before = (slice(None),) * self.dim
        parts = [stored[before + (slice(begin, end),)] for begin, end in self.ranges]
        return torch.cat(parts, self.dim).contiguous()


def cut_heads(dim: int, heads: Sequence[int], of: int, head_dim: int) -> Cut:
    """Blocks of these heads, in their order, of a tensor with `of` blocks of `head_dim` rows."""
    blocks = ((head * head_dim, (head + 1) * head_dim) for head in heads)
    return Cut(dim, of * head_dim, _joined(blocks))


def cut_evenly(dim: int, size: int, rank: int, ranks: int) -> Cut:
    """The contiguous share of a rank. Where shares cannot be equal, they are multiples of `_TILE`,
    or of a smaller power of two that divides `size` and gives each rank some 8 of them."""
    unit = 1 if size % ranks == 0 else math.gcd(size, _TILE)
    while unit > 1 and size // unit < 8 * ranks:
        unit //= 2
    begin, end = (size // unit * each // ranks * unit for each in (rank, rank + 1))
    return Cut(dim, size, ((begin, end),))


def stack(cuts: Sequence[Cut]) -> Cut:
    """The cut of a tensor that holds those of `cuts` one after the other."""
    ranges: list[tuple[int, int]] = []
    begin = 0
    for cut in cuts:
        ranges += [(begin + first, begin + end) for first, end in cut.ranges]
        begin += cut.size
    return Cut(cuts[0].dim, begin, _joined(ranges))


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges that follow each other become one."""
    joined: list[tuple[int, int]] = []
    for begin, end in ranges:
        if joined and joined[-1][1] == begin:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return tuple(joined)
