"""All measurements of a request, length by length. Those of one subject at one length are a step,
which a run that was stopped need not do again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..command_line.command import Show
from ..command_line.journal import Journal
from ..tasks.texts import Texts
from .attention import attending
from .request import DENSE, Request, Subject
from .retrieval import Asked, ask, is_right
from .states import Head, head, last_states
from .texts import Agreement, LossByPosition, next_token_losses, text_samples

# Rows of an answer, by the name of their list.
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class _Material:
    """Of one length. questions: by kind; texts: tokens of samples."""

    length: int
    questions: dict[str, list[Asked]]
    texts: list[list[int]]


@dataclass(frozen=True)
class _Seen:
    """Hidden states that a subject has: where questions are answered, and of all of the texts."""

    answers: dict[str, list[torch.Tensor]]
    texts: list[torch.Tensor]


class Evaluation:
    """One run. model: in evaluation; texts: None for none."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        request: Request,
        texts: Texts | None,
        journal: Journal,
        show: Show,
    ) -> None:
        self._model, self._tokenizer, self._request = model, tokenizer, request
        self._texts, self._journal, self._show = texts, journal, show
        self._steps: dict[str, Rows] = dict(each for batch in journal.batches() for each in batch)
        by_masks = [each for each in request.subjects if each.package is None]
        packages = [each for each in request.subjects if each.package is not None]
        # The dense model first, and packages behind the masks that they are compared with.
        self._subjects: list[Subject | None] = [None, *by_masks, *packages]

    def run(self) -> Rows:
        """Rows of `retrieval`, `perplexity` and `agreement` (docs/evaluate-formats.md)."""
        for number, length in enumerate(self._request.lengths):
            self._length(number, length)
        found: Rows = {"retrieval": [], "perplexity": [], "agreement": []}
        for length in self._request.lengths:
            for subject in self._subjects:
                for name, rows in self._steps[_step(subject, length)].items():
                    found[name] += rows
        return found

    def _length(self, number: int, length: int) -> None:
        steps = self._steps
        if all(_step(subject, length) in steps for subject in self._subjects):
            return
        done, of = number * len(self._subjects), len(self._request.lengths) * len(self._subjects)
        material = self._material(length, lambda text: self._show(done, of, text))
        texts: dict[str, list[torch.Tensor]] = {}
        for index, subject in enumerate(self._subjects):
            name = _name(subject)
            self._show(done + index, of, f"{name} at {length}")
            is_compared = name in (
                each for other in self._subjects for each in self._with(other, length)
            )
            if _step(subject, length) in steps and not is_compared:
                continue
            with attending(self._model, subject, length):
                seen = self._see(material)
            if _step(subject, length) not in steps:
                with head(self._model) as run:
                    compared = {each: texts[each] for each in self._with(subject, length)}
                    rows = self._rows(name, material, seen, compared, run)
                self._journal.append([(_step(subject, length), rows)])
                steps[_step(subject, length)] = rows
            if is_compared:
                texts[name] = seen.texts
        self._show(done + len(self._subjects), of, f"{length} tokens")

    def _with(self, subject: Subject | None, length: int) -> list[str]:
        """What a subject's next tokens are compared with: the dense model's, and a package's with
        those of its masks."""
        if subject is None or self._request.texts is None:
            return []
        if subject.package is None:
            return [DENSE]
        mask = subject.masks[length]
        others = (each for each in self._request.subjects if each.package is None)
        same = next((each.id for each in others if each.masks[length] == mask), None)
        return [DENSE] if same is None else [DENSE, same]

    def _material(self, length: int, tell: Any) -> _Material:
        asked: dict[str, list[Asked]] = {}
        retrieval, texts = self._request.retrieval, self._request.texts
        if retrieval is not None:
            for kind in retrieval.kinds:
                tell(f"questions: {kind} at {length}")
                asked[kind] = ask(
                    self._model,
                    self._tokenizer,
                    kind,
                    length,
                    retrieval.samples,
                    retrieval.depths,
                    self._request.seed,
                    self._texts,
                )
        samples: list[list[int]] = []
        if texts is not None:
            assert self._texts is not None, "internal error: the request has texts"
            samples = text_samples(
                self._texts, self._tokenizer, length, texts.samples, self._request.seed
            )
        return _Material(length, asked, samples)

    def _see(self, material: _Material) -> _Seen:
        def answer(asked: Asked) -> torch.Tensor:
            # The token before predicts the first of the answer.
            return last_states(self._model, asked.tokens[: asked.last - 1], asked.first - 1)

        answers = {kind: list(map(answer, asked)) for kind, asked in material.questions.items()}
        return _Seen(answers, [last_states(self._model, each, 0) for each in material.texts])

    def _rows(
        self,
        name: str,
        material: _Material,
        seen: _Seen,
        compared: dict[str, list[torch.Tensor]],
        run: Head,
    ) -> Rows:
        at = {"subject": name, "length": material.length}
        retrieval = [
            {**at, "kind": kind, "questions": _outcomes(asked, seen.answers[kind], run)}
            for kind, asked in material.questions.items()
        ]
        perplexity, agreement = [], []
        if material.texts:
            losses = LossByPosition.of(material.length)
            for states, tokens in zip(seen.texts, material.texts, strict=True):
                losses.add(next_token_losses(self._model, run, states, tokens))
            perplexity = [{**at, **losses.row()}]
        for other, expected in compared.items():
            sums = Agreement()
            for theirs, own in zip(expected, seen.texts, strict=True):
                sums.add(self._model, run, theirs, own)
            agreement.append({**at, "with": other, **sums.row()})
        return {"retrieval": retrieval, "perplexity": perplexity, "agreement": agreement}


def _outcomes(
    asked: Sequence[Asked], states: Sequence[torch.Tensor], run: Head
) -> list[dict[str, Any]]:
    return [
        {"depth": each.depth, "distance": each.distance, "right": is_right(own, run, each)}
        for each, own in zip(asked, states, strict=True)
    ]


def _name(subject: Subject | None) -> str:
    return DENSE if subject is None else subject.id


def _step(subject: Subject | None, length: int) -> str:
    return f"{length} {_name(subject)}"
