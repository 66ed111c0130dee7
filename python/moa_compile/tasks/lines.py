"""Line retrieval, as in LongEval: one of many lines is asked for."""

from .draft import Draft, join_lines
from .draws import Draws
from .names import names, numbers

_HEAD = (
    "Below is a record of lines. Each line has a name, and a number that is its REGISTER_CONTENT."
    " Remember the number of every line."
)


class Lines:
    least = 2
    is_fine = False

    def __init__(self, seed: int, depth: float, tokens: int) -> None:
        draws = Draws("lines", seed)
        self.most = max(tokens, self.least)
        self._depth = depth
        self._names, self._numbers = names(draws), numbers(draws, self.most)
        self._known: list[tuple[str, str]] = []

    def draft(self, size: int, lead: str) -> Draft:
        while len(self._known) < size:
            self._known.append((self._names.draw().replace(" ", "-"), self._numbers.draw()))
        asked = round(self._depth * (size - 1))
        lines = [
            f"line {name}: REGISTER_CONTENT is <{number}>" for name, number in self._known[:size]
        ]
        context, evidence = join_lines(f"{_HEAD}{lead}\n", lines, (asked,))
        name, number = self._known[asked]
        question = f"What is the REGISTER_CONTENT in line {name}? Answer with the number alone."
        return Draft(context, question, number, evidence)
