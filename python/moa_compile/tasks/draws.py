"""Random choices that are a function of a key alone, in every version of Python."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
_WORD = 8
"""Bytes of a draw."""


class Draws:
    """SHA-256 of the key and a counter, eight bytes at a time."""

    def __init__(self, *key: int | str) -> None:
        self._key = hashlib.sha256(json.dumps(key).encode())
        self._count = 0
        self._words: list[int] = []

    def below(self, bound: int) -> int:
        """An integer from 0 to bound - 1; bound is far below 2^64."""
        if not self._words:
            block = self._key.copy()
            block.update(self._count.to_bytes(_WORD, "little"))
            self._count += 1
            digest = block.digest()
            places = range(0, len(digest), _WORD)
            self._words = [int.from_bytes(digest[at : at + _WORD], "little") for at in places]
        return self._words.pop() % bound

    def choice(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def fraction(self) -> float:
        """A number from 0 to 1 with four decimals."""
        return self.below(10_001) / 10_000


class Distinct:
    """Values that `make` draws, none twice. `make` is told how many there are already, so that it
    can draw from more before they run out."""

    def __init__(self, make: Callable[[int], str]) -> None:
        self._make = make
        self._seen: set[str] = set()

    def draw(self) -> str:
        value = self._make(len(self._seen))
        while value in self._seen:
            value = self._make(len(self._seen))
        self._seen.add(value)
        return value


def seed_of(*key: int | str) -> int:
    """A seed for `make_question` that belongs to a key."""
    return Draws(*key).below(1 << 53)
