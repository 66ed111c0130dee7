"""Numbered facts, some of which refer to others: the answer is two steps away."""

from typing import NamedTuple

from .draft import Draft, join_lines
from .draws import Draws
from .names import names, numbers

_HEAD = "Below are numbered facts. Some of them refer to another fact by its number."
_REFERS = 4
"""One fact of so many refers to an earlier one."""


class _Fact(NamedTuple):
    name: str
    number: str
    refers: bool
    drawn: int
    """Chooses what it refers to."""


class Facts:
    least = 2
    is_fine = False

    def __init__(self, seed: int, depth: float, tokens: int) -> None:
        self._draws = Draws("facts", seed)
        self._depth = depth
        self._later = self._draws.fraction()
        self.most = max(tokens, self.least)
        # So many that the number of a fact has fewer digits, and is never taken for an answer.
        self._names, self._numbers = names(self._draws), numbers(self._draws, 5 * self.most)
        self._known: list[_Fact] = []

    def draft(self, size: int, lead: str) -> Draft:
        self._grow(size)
        holder = round(self._depth * (size - 2))
        asked = holder + 1 + round(self._later * (size - 2 - holder))
        lines = self._lines(size, holder, asked)
        context, evidence = join_lines(f"{_HEAD}{lead}\n", lines, (holder, asked))
        name = self._known[asked].name
        question = f"What is the number of the {name}? Answer with the number alone."
        return Draft(context, question, self._known[holder].number, evidence)

    def _grow(self, size: int) -> None:
        while len(self._known) < size:
            name, number = self._names.draw(), self._numbers.draw()
            refers = bool(self._known) and self._draws.below(_REFERS) == 0
            self._known.append(_Fact(name, number, refers, self._draws.below(1 << 48)))

    def _lines(self, size: int, holder: int, asked: int) -> list[str]:
        lines: list[str] = []
        plain: list[int] = []
        for index, fact in enumerate(self._known[:size]):
            if index == asked:
                told = f"that of fact {holder + 1}"
            elif index == holder or not fact.refers:
                told = fact.number
                plain.append(index)
            else:
                told = f"that of fact {plain[fact.drawn % len(plain)] + 1}"
            lines.append(f"Fact {index + 1}: the number of the {fact.name} is {told}.")
        return lines
