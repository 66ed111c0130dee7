"""The part of a parameter that a rank takes: ranges of its rows or of its columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch


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

    def of_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """A contiguous copy of the part, so that the whole tensor can be freed."""
        parts = [tensor.narrow(self.dim, begin, end - begin) for begin, end in self.ranges]
        return torch.cat(parts, self.dim).contiguous()

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
    """The contiguous part of a rank. `size` is a multiple of `ranks`."""
    share = size // ranks
    return Cut(dim, size, ((rank * share, (rank + 1) * share),))


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
