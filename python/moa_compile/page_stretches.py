"""What the sequences of a session did between forks, as `page_accounts` counts pages by."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Stretch:
    """What a sequence did between two forks, in tokens.

    begin: the first token that was written; infinite where none was.
    reached: where the tokens that were written end, with those taken back since.
    length: of the sequence, now or at the fork that ended the stretch.
    low: the shortest that the sequence was: it gave up the pages behind.
    """

    begin: float
    reached: int
    length: int
    low: int


@dataclass(frozen=True)
class Branch:
    """A stretch and all after it, as the stretches before it see them.

    reached: every sequence in it has written the tokens up to here, all but one up to
    `next_reached`.
    low: every sequence in it was this short or shorter, all but one `next_low`.
    own: pages that belong to its stretches; held: that its sequences hold. Both at most.
    """

    reached: float
    next_reached: float
    low: int
    next_low: int
    own: int
    held: int


def written(stretch: Stretch, tokens: int) -> Stretch:
    """A stretch with `tokens` more."""
    if tokens == 0:
        return stretch
    end = stretch.length + tokens
    return Stretch(min(stretch.begin, stretch.length), max(stretch.reached, end), end, stretch.low)


def may_join(first: Stretch, second: Stretch) -> bool:
    """Whether the tokens of two stretches are one range: the second may go back behind the first,
    and stay there."""
    return first.begin == inf or second.begin == inf or second.reached >= first.begin


def joined(first: Stretch, second: Stretch) -> Stretch:
    """Two stretches, one after the other, as one."""
    return Stretch(
        min(first.begin, second.begin),
        max(first.reached, second.reached),
        second.length,
        min(first.low, second.low),
    )


def branch_after(branches: list[Branch]) -> Branch:
    """The branches after a stretch, as one: there are one or two."""
    a = branches[0]
    if len(branches) == 1:
        return a
    b = branches[1]
    return Branch(
        min(a.reached, b.reached),
        min(max(a.reached, b.reached), a.next_reached, b.next_reached),
        max(a.low, b.low),
        max(min(a.low, b.low), a.next_low, b.next_low),
        a.own + b.own,
        a.held + b.held,
    )
