"""How many questions were asked, kept and answered right, and which come next."""

from dataclasses import dataclass


@dataclass
class Tally:
    """Of a kind at a length."""

    wanted: int
    limit: int
    """The most questions to ask."""
    asked: int = 0
    kept: int = 0
    judged: int = 0
    """Questions with a reference answer."""
    right: int = 0

    def count(self, right: bool | None, keep_right: bool) -> bool:
        """Counts an answer; whether its sample is kept."""
        self.asked += 1
        self.judged += right is not None
        self.right += right is True
        kept = self.kept < self.wanted and (right is True or not keep_right)
        self.kept += kept
        return kept

    @property
    def is_exhausted(self) -> bool:
        return self.kept < self.wanted and self.asked >= self.limit


Tallies = dict[int, dict[str, Tally]]
"""By length and kind."""


def shares(samples: int, kinds: tuple[str, ...]) -> dict[str, int]:
    """Samples of each kind, as evenly as can be."""
    return {
        kind: samples // len(kinds) + (index < samples % len(kinds))
        for index, kind in enumerate(kinds)
    }


def next_questions(tallies: dict[str, Tally], batch: int) -> list[tuple[str, int]]:
    """(kind, number) of at most `batch` questions: kinds take turns, and no more are asked than are
    still wanted. A function of the tallies, so that a run goes on as if it had not been stopped."""
    chosen: list[tuple[str, int]] = []
    ahead = dict.fromkeys(tallies, 0)
    while len(chosen) < batch:
        open_kinds = [
            kind
            for kind, tally in tallies.items()
            if tally.kept + ahead[kind] < tally.wanted and tally.asked + ahead[kind] < tally.limit
        ]
        if not open_kinds:
            break
        kind = min(open_kinds, key=lambda kind: tallies[kind].asked + ahead[kind])
        chosen.append((kind, tallies[kind].asked + ahead[kind]))
        ahead[kind] += 1
    return chosen
