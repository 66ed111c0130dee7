"""Cuts the context of a question down to a number of tokens."""

from dataclasses import replace

from .draft import LengthOf
from .fit import largest_fit
from .question import Question

_MARK = "\n[...]\n"
"""Where something was left out."""
_NEAR = 32
"""A cut moves by at most so many characters to the end of a word."""


def cut_context(question: Question, length_of: LengthOf, tokens: int) -> Question | None:
    """The question without the middle of its context, so that the rest has at most `tokens` tokens
    and hardly fewer; as it is where it has no more. The evidence stays. None if the evidence alone
    has more."""
    if length_of(question.context) <= tokens:
        return question
    evidence = _merged(question.evidence)
    most = len(question.context) - sum(end - begin for begin, end in evidence)
    size = largest_fit(
        lambda size: length_of(_keep(question, evidence, size).context),
        tokens,
        0,
        most,
        tokens // 256,
    )
    return None if size is None else _keep(question, evidence, size)


def only_evidence(question: Question) -> Question:
    """The question with nothing but its evidence: the least that `cut_context` leaves."""
    return _keep(question, _merged(question.evidence), 0)


Ranges = list[tuple[int, int]]


def _merged(ranges: tuple[tuple[int, int], ...] | Ranges) -> Ranges:
    """The same characters as ranges that rise and do not touch."""
    merged: Ranges = []
    for begin, end in sorted(ranges):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif begin < end:
            merged.append((begin, end))
    return merged


def _keep(question: Question, evidence: Ranges, size: int) -> Question:
    """With `size` characters beside the evidence, half of them from each end."""
    text = question.context
    head = _word_before(text, _beside(evidence, size // 2))
    mirrored = [(len(text) - end, len(text) - begin) for begin, end in reversed(evidence)]
    tail = _word_after(text, len(text) - _beside(mirrored, size - size // 2))
    kept = _merged([(0, head), *evidence, (max(head, tail), len(text))])
    begins: list[int] = []
    parts: list[str] = []
    length, before = 0, 0
    for begin, end in kept:
        mark = _MARK if begin > before else ""
        begins.append(length + len(mark))
        parts += [mark, text[begin:end]]
        length = begins[-1] + end - begin
        before = end
    if before < len(text):
        parts.append(_MARK)

    def moved(place: tuple[int, int]) -> tuple[int, int]:
        index = next(at for at, (begin, end) in enumerate(kept) if begin <= place[0] < end)
        shift = begins[index] - kept[index][0]
        return place[0] + shift, place[1] + shift

    context = "".join(parts)
    ranges = tuple(moved(place) for place in question.evidence)
    depth = ranges[0][0] / len(context) if ranges else question.depth
    return replace(question, context=context, evidence=ranges, depth=depth)


def _beside(evidence: Ranges, size: int) -> int:
    """The end of the first `size` characters that are no evidence."""
    end = size
    for begin, after in evidence:
        if begin >= end:
            break
        end += after - begin
    return end


def _word_before(text: str, place: int) -> int:
    for back in range(min(_NEAR, place)):
        if text[place - 1 - back].isspace():
            return place - 1 - back
    return place


def _word_after(text: str, place: int) -> int:
    for ahead in range(min(_NEAR, len(text) - place)):
        if text[place + ahead].isspace():
            return place + ahead + 1
    return place
