"""Whether the dense model is right often enough to go on."""

from typing import Any

from ..search.codes import MoaError
from .plan import Plan
from .tally import Tallies, Tally

FIRST = 8
"""Answers after which a model that was never right is given up."""


def require_right(
    tallies: Tallies, plan: Plan, last: dict[str, Any] | None, first: int = FIRST
) -> None:
    """Raises MOA7425 if the model answered so many questions and none right. `last`: an answer, for
    the message."""
    every = [tally for of_length in tallies.values() for tally in of_length.values()]
    judged = sum(tally.judged for tally in every)
    if plan.keep_all or judged < first or any(tally.right for tally in every):
        return
    sample = None if last is None else last["sample"]
    example = ""
    if sample is not None and sample["reference"] is not None:
        wanted, said = _short(sample["reference"]), _short(sample["response"])
        example = f"; where {wanted} was right it said {said}"
    message = f"the dense model answered none of the first {judged} questions right{example}"
    help = (
        "no plan can keep what the model does not do: try shorter --lengths, other --kinds or"
        " another --prompt; --keep-all keeps its answers all the same"
    )
    raise MoaError("MOA7425", message, help)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:60]}..."' if len(line) > 60 else f'"{line}"'


def require_enough(length: int, tallies: dict[str, Tally]) -> None:
    """Raises MOA7426 if a kind has no more questions to ask, and still lacks right answers."""
    for kind, tally in tallies.items():
        if tally.is_exhausted:
            message = (
                f"length {length}, kind {kind}: the dense model answered {tally.right} of"
                f" {tally.asked} questions right, and {tally.wanted} right ones are wanted"
            )
            help = "leave the kind or the length out, ask for fewer --samples, or drop --keep-right"
            raise MoaError("MOA7426", message, help)
