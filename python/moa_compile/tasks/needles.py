"""Facts hidden in prose: some are asked for, others only look like them."""

import re

from .draft import Draft
from .draws import Draws
from .names import names, numbers
from .texts import Prose

_HIDDEN = 5
_MOST_ASKED = 3
_LONGEST_WORD = 24
"""A stretch of prose ends before a word that is no longer than this."""
_ENDS = re.compile(r"[.!?]['\")\]]*\s+|[。！？]|\n+")


class Needles:
    is_fine = True
    least = 1

    def __init__(self, seed: int, depth: float, prose: Prose) -> None:
        draws = Draws("needles", seed)
        self._seed, self._prose = seed, prose
        self.most = prose.characters
        self._asked = 1 + draws.below(_MOST_ASKED)
        self._depths = [depth] + [draws.fraction() for _ in range(_HIDDEN - 1)]
        known, values = names(draws), numbers(draws, _HIDDEN)
        self._needles = []
        for _ in range(_HIDDEN):
            number = values.draw()
            while prose.holds(number):
                number = values.draw()
            self._needles.append((known.draw(), number))
        self._text = ""

    def draft(self, size: int, lead: str) -> Draft:
        text = self._stretch(size)
        places = self._places(text)
        order = sorted(range(_HIDDEN), key=lambda index: (places[index], index))
        parts: list[str] = []
        ranges: dict[int, tuple[int, int]] = {}
        length = taken = 0
        for index in order:
            name, number = self._needles[index]
            sentence = f"The number of the {name} is {number}."
            before = text[taken : places[index]]
            if before and not before[-1].isspace():
                before += " "
            length += len(before)
            ranges[index] = (length, length + len(sentence))
            length += len(sentence) + 1
            parts += [before, sentence, " "]
            taken = places[index]
        context = ("".join(parts) + text[taken:]).rstrip()
        asked = range(self._asked)
        answer = "; ".join(self._needles[index][1] for index in asked)
        return Draft(context, self._question(), answer, tuple(ranges[index] for index in asked))

    def _question(self) -> str:
        asked = [f"the {name}" for name, _ in self._needles[: self._asked]]
        if len(asked) == 1:
            return f"What is the number of {asked[0]}? Answer with the number alone."
        listed = f"{', '.join(asked[:-1])} and {asked[-1]}"
        return f"What are the numbers of {listed}? Answer with the numbers alone, in this order."

    def _stretch(self, size: int) -> str:
        if len(self._text) < size:
            self._text = self._prose.stretch(self._seed, min(2 * size + 4096, self.most))
        end = min(size, len(self._text))
        for back in range(min(_LONGEST_WORD, end)):
            if self._text[end - 1 - back].isspace():
                return self._text[: end - 1 - back]
        return self._text[:end]

    def _places(self, text: str) -> list[int]:
        """Where each needle goes: at the end of the sentence that is nearest to its depth."""
        ends = [0, *(match.end() for match in _ENDS.finditer(text)), len(text)]
        wanted = [depth * len(text) for depth in self._depths]
        return [min(ends, key=lambda end: (abs(end - place), end)) for place in wanted]
