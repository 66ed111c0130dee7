"""A question about a long context."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    kind: str
    """One of `KINDS`, or the name of another source."""
    context: str
    question: str
    answer: str
    """The reference answer; several parts are separated by `; `. Empty if it is not known."""
    depth: float | None
    """Where the first range of `evidence` lies in the context, from 0 (the beginning) to 1."""
    evidence: tuple[tuple[int, int], ...] = ()
    """Ranges [from, to) of characters of the context that the answer needs. The first holds the
    answer, or its first part."""
