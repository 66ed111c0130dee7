"""The dense model, as what answers prompts."""

from dataclasses import dataclass
from typing import Any

from .answers import end_tokens, first_line, greedy_answers
from .prompts import Prompt


@dataclass(frozen=True)
class Answer:
    tokens: list[int]
    text: str


@dataclass(frozen=True)
class Asker:
    model: Any
    tokenizer: Any
    is_chat: bool
    most: int
    """Tokens of an answer."""

    def ask(self, prompts: list[Prompt]) -> list[Answer]:
        ends = end_tokens(self.model, self.tokenizer)
        found = greedy_answers(self.model, [prompt.tokens for prompt in prompts], self.most, ends)
        if not self.is_chat:
            found = [first_line(self.tokenizer, tokens) for tokens in found]
        return [Answer(tokens, self._text(tokens)) for tokens in found]

    @property
    def filling(self) -> int:
        """The token behind a sample that is shorter than its length."""
        padding = self.tokenizer.pad_token_id
        if padding is not None:
            return int(padding)
        return next(iter(end_tokens(self.model, self.tokenizer)), 0)

    def _text(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True)).strip()
