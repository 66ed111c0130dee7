"""Asks the dense model until every length and kind has its samples."""

import json
from collections.abc import Callable
from typing import Any

from ..command_line.command import Show
from ..command_line.journal import Journal
from ..command_line.signals import interruptible
from ..search.tensorfile import replacing
from ..tasks import holds
from .asker import Asker
from .checks import require_enough, require_right
from .plan import Plan
from .samples import sample_of
from .sources import Source
from .tally import Tallies, Tally, next_questions, shares

_TRIES = 8
"""Questions that may be asked for one right answer."""


def run_calibration(
    asker: Asker,
    source: Source,
    plan: Plan,
    journal: Journal,
    output: str,
    guard: Callable[[], None],
    show: Show,
) -> Tallies:
    """Goes on where the journal is, writes `output` and removes the journal. `guard` raises if the
    model has changed. Raises Interrupted on SIGINT and SIGTERM, MOA7425 and MOA7426 for a model
    that is not right often enough."""
    tallies = _empty(source, plan)
    last = None
    for batch in journal.batches():
        for last in batch:
            tallies[last["length"]][last["kind"]].count(last["right"], plan.keep_right)
    with interruptible() as shielded:
        for length in plan.lengths:
            while True:
                # A run that goes on may have stopped for these reasons.
                require_right(tallies, plan, last)
                require_enough(length, tallies[length])
                chosen = next_questions(tallies[length], plan.batch_of(length))
                if not chosen:
                    break
                batch = _ask(asker, source, plan, length, chosen)
                for answer in batch:
                    tally = tallies[length][answer["kind"]]
                    if not tally.count(answer["right"], plan.keep_right):
                        answer["sample"] = None
                last = batch[-1]
                with shielded():
                    guard()
                    journal.append(batch)
                _show(show, tallies, length)
        require_right(tallies, plan, last, first=1)
        with shielded():
            guard()
            _write(journal, output)
            journal.remove()
    return tallies


def _empty(source: Source, plan: Plan) -> Tallies:
    def of(length: int) -> dict[str, Tally]:
        count = source.count(plan.prompt_tokens(length))
        return {
            kind: Tally(wanted, _TRIES * wanted if count is None else count)
            for kind, wanted in shares(plan.samples, source.kinds).items()
        }

    return {length: of(length) for length in plan.lengths}


def _ask(
    asker: Asker, source: Source, plan: Plan, length: int, chosen: list[tuple[str, int]]
) -> list[dict[str, Any]]:
    """An entry of the journal for each question; its sample is what the output gets."""
    prompts = [source.prompt(kind, plan.prompt_tokens(length), number) for kind, number in chosen]
    entries = []
    for prompt, answer in zip(prompts, asker.ask(prompts), strict=True):
        question = prompt.question
        right = holds(question.answer, answer.text) if question.answer else None
        sample = sample_of(prompt, answer, length, asker.filling, right)
        entries.append({"length": length, "kind": question.kind, "right": right, "sample": sample})
    return entries


def _write(journal: Journal, output: str) -> None:
    with replacing(output) as file:
        for batch in journal.batches():
            for answer in batch:
                if answer["sample"] is not None:
                    line = json.dumps(answer["sample"], separators=(",", ":"))
                    file.write(line.encode() + b"\n")


def _show(show: Show, tallies: Tallies, length: int) -> None:
    every = [tally for of_length in tallies.values() for tally in of_length.values()]
    right, judged = sum(tally.right for tally in every), sum(tally.judged for tally in every)
    done, wanted = sum(tally.kept for tally in every), sum(tally.wanted for tally in every)
    show(done, wanted, f"length {length}, {right} of {judged} right")
