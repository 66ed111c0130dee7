"""Prompts that fill a length but for the answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..search.codes import MoaError
from ..tasks import Question, encode

_TRIES = 8
_SPARE = 8
"""Tokens that are left out beside the excess from the second try on: another context may come with
another question."""
_SHORT = 512


@dataclass(frozen=True)
class Prompt:
    question: Question
    tokens: list[int]


@dataclass(frozen=True)
class Prompter:
    """Makes tokens of questions."""

    tokenizer: Any
    prompt_format: str
    vocabulary: int
    """How many tokens the model knows."""

    def length_of(self, text: str) -> int:
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode(self, question: Question) -> list[int]:
        tokens = encode(self.tokenizer, question, self.prompt_format)
        if tokens and max(tokens) >= self.vocabulary:
            message = (
                f"the tokenizer has the token {max(tokens)}, and the model's vocabulary ends at"
                f" {self.vocabulary - 1}"
            )
            help = "give the model the tokenizer that it was trained with"
            raise MoaError("MOA7401", message, help)
        return tokens

    def fit(self, ask: Callable[[int], Question | None], tokens: int) -> Prompt | None:
        """The prompt of a question with as long a context as fits into so many tokens.

        `ask(n)` gives the question with a context of at most n tokens, or None if there is none.
        What a prompt has beside the context hardly depends on the context, so that the second
        question mostly fits.
        """
        short = ask(min(tokens, _SHORT)) or ask(tokens)
        if short is None:
            return None
        beside = len(self.encode(replace(short, context="x"))) - self.length_of("x")
        for attempt in range(_TRIES):
            question = ask(max(tokens - beside, 0))
            if question is None:
                return None
            encoded = self.encode(question)
            if len(encoded) <= tokens:
                return Prompt(question, encoded)
            beside += len(encoded) - tokens + (_SPARE if attempt else 0)
        return None
