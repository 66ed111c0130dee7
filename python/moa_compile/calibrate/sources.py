"""Where questions come from: the generators, or a file of the user."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from ..search.codes import MoaError
from ..tasks import Texts, cut_context, make_question, only_evidence
from ..tasks.draws import Draws, seed_of
from .plan import Plan
from .prompts import Prompt, Prompter
from .questions import KIND, Questions

_GOLDEN = 0.6180339887498949
"""Multiples of it, without their integers, are spread evenly however many there are."""
_FULL = 0.95
"""Of a length: a prompt that is shorter does not fill it."""
_SPARE = 16
"""Tokens that a prompt may have more when its parts are put together."""


class Source(Protocol):
    @property
    def kinds(self) -> tuple[str, ...]: ...

    @property
    def key(self) -> dict[str, Any]:
        """What its questions depend on."""
        ...

    def require(self, plan: Plan) -> None:
        """Raises unless each length has questions enough."""
        ...

    def count(self, tokens: int) -> int | None:
        """How many questions it has for prompts of so many tokens; None: any number."""
        ...

    def prompt(self, kind: str, tokens: int, number: int) -> Prompt: ...


@dataclass(frozen=True)
class Generated:
    """Questions of our own, any number of them."""

    prompter: Prompter
    kinds: tuple[str, ...]
    seed: int
    texts: Texts | None

    @property
    def key(self) -> dict[str, Any]:
        texts = None if self.texts is None else self.texts.sha256
        return {"kinds": list(self.kinds), "seed": self.seed, "texts": texts}

    def require(self, plan: Plan) -> None:
        for length in sorted({min(plan.lengths), max(plan.lengths)}):
            for kind in self.kinds:
                try:
                    self.prompt(kind, plan.prompt_tokens(length), 0)
                except MoaError as error:
                    if error.code != "MOA7423":
                        raise
                    message = f"length {length}: {error.message}"
                    raise MoaError(error.code, message, error.help) from error

    def count(self, tokens: int) -> None:
        return None

    def prompt(self, kind: str, tokens: int, number: int) -> Prompt:
        seed = seed_of("calibrate", self.seed, kind, tokens, number)
        first = Draws("depths", self.seed, kind, tokens).fraction()
        depth = round((first + number * _GOLDEN) % 1, 4)

        def ask(most: int) -> Any:
            return make_question(kind, self.prompter.length_of, most, depth, seed, self.texts)

        prompt = self.prompter.fit(ask, tokens)
        if prompt is None:
            message = f"{tokens} tokens hold no question of the kind {kind}"
            raise MoaError("MOA7423", message, "ask for longer lengths, or leave the kind out")
        return prompt


@dataclass(frozen=True)
class Given:
    """Questions of the user: those whose contexts fill a length, in the order of the file."""

    prompter: Prompter
    questions: Questions

    @property
    def kinds(self) -> tuple[str, ...]:
        return (KIND,)

    @property
    def key(self) -> dict[str, Any]:
        return {"questions": self.questions.sha256}

    def require(self, plan: Plan) -> None:
        for length in plan.lengths:
            count = self.count(plan.prompt_tokens(length))
            if count >= plan.samples:
                continue
            message = (
                f"length {length}: {count} of the {len(self._lengths)} questions of"
                f" {self.questions.path} have contexts that fill it, and {plan.samples} are wanted;"
                f" the longest has {max(self._lengths)} tokens with its prompt"
            )
            help = "add questions with longer contexts, or ask for shorter --lengths or --samples"
            raise MoaError("MOA7421", message, help)

    def count(self, tokens: int) -> int:
        return len(self._filling(tokens))

    def prompt(self, kind: str, tokens: int, number: int) -> Prompt:
        index = self._filling(tokens)[number]
        question = self.questions.questions[index]
        prompt = self.prompter.fit(
            lambda most: cut_context(question, self.prompter.length_of, most), tokens
        )
        if prompt is None:
            message = (
                f"question {index + 1} of {self.questions.path}: the question and its evidence do"
                f" not fit into {tokens} tokens"
            )
            raise MoaError("MOA7423", message, "ask for longer lengths, or mark less evidence")
        return prompt

    def _filling(self, tokens: int) -> list[int]:
        """Questions that are long enough, and whose evidence is short enough."""
        return [
            at
            for at, length in enumerate(self._lengths)
            if length >= _FULL * tokens and self._least[at] <= tokens - _SPARE
        ]

    @cached_property
    def _lengths(self) -> list[int]:
        """Tokens of the whole prompts."""
        return [len(self.prompter.encode(question)) for question in self.questions.questions]

    @cached_property
    def _least(self) -> list[int]:
        """Tokens of the prompts with nothing but the evidence."""
        short = map(only_evidence, self.questions.questions)
        return [len(self.prompter.encode(question)) for question in short]
