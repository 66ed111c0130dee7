"""A question whose context grows with a size, until it fills its tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LengthOf = Callable[[str], int]
"""How many tokens a text has."""


@dataclass(frozen=True)
class Draft:
    context: str
    question: str
    answer: str
    evidence: tuple[tuple[int, int], ...]


class Builder(Protocol):
    """Makes the draft of each size. A larger one has a longer context."""

    @property
    def least(self) -> int: ...

    @property
    def most(self) -> int: ...

    @property
    def is_fine(self) -> bool:
        """Whether sizes are so fine that a context needs no lead-in to fill its tokens."""
        ...

    def draft(self, size: int, lead: str) -> Draft:
        """`lead` is prose in front of the first line; a fine builder has no use for it."""
        ...


def join_lines(
    head: str, lines: list[str], chosen: tuple[int, ...]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """(context, the ranges of the chosen lines)."""
    places = {}
    wanted = set(chosen)
    at = len(head)
    for index, line in enumerate(lines):
        if index in wanted:
            places[index] = (at, at + len(line))
        at += len(line) + 1
    return head + "\n".join(lines), tuple(places[index] for index in chosen)
