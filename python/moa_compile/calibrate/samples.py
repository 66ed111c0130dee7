"""A line of the output: the tokens of a prompt and the model's answer, and what it was about."""

from typing import Any

from ..search.data import IGNORED
from .asker import Answer
from .prompts import Prompt


def sample_of(
    prompt: Prompt, answer: Answer, length: int, filling: int, right: bool | None
) -> dict[str, Any]:
    """The answer alone is in the loss. What the line lacks of its length is filled with a token
    behind the answer, which nothing in the loss attends: the sample is as long as its length, and
    can be validated at it."""
    used = len(prompt.tokens) + len(answer.tokens)
    rest = length - used
    question = prompt.question
    return {
        "input_ids": [*prompt.tokens, *answer.tokens, *[filling] * rest],
        "labels": [*[IGNORED] * len(prompt.tokens), *answer.tokens, *[IGNORED] * rest],
        "kind": question.kind,
        "length": length,
        "tokens": used,
        "depth": question.depth,
        "question": question.question,
        "reference": question.answer or None,
        "response": answer.text,
        "right": right,
    }
