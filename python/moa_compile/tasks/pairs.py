"""Retrieval from keys and values, as in Lost in the Middle: JSON of random hexadecimal words."""

from .draft import Draft, join_lines
from .draws import Distinct, Draws

_HEAD = "Below is a JSON object with keys and values."


class Pairs:
    least = 2
    is_fine = False

    def __init__(self, seed: int, depth: float, tokens: int) -> None:
        draws = Draws("pairs", seed)
        self.most = max(tokens, self.least)
        self._depth = depth
        self._words = Distinct(lambda known: f"{draws.below(1 << 32):08x}")
        self._known: list[tuple[str, str]] = []

    def draft(self, size: int, lead: str) -> Draft:
        while len(self._known) < size:
            self._known.append((self._words.draw(), self._words.draw()))
        asked = round(self._depth * (size - 1))
        lines = [f'"{key}": "{value}",' for key, value in self._known[:size]]
        lines[-1] = lines[-1][:-1]
        context, evidence = join_lines(f"{_HEAD}{lead}\n{{\n", lines, (asked,))
        key, value = self._known[asked]
        question = f'What is the value of the key "{key}"? Answer with the value alone.'
        return Draft(context + "\n}", question, value, evidence)
