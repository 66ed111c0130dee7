"""Questions about long contexts, and whether a model still answers them.

A model is asked in one forward pass: the prompt and a response. It is right where each token of the
response that holds the answer is its most likely next one. The response is what the dense model
says, where that holds the answer, and the reference answer else; so it is in the model's own
words, and the same for all subjects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from ..calibrate.answers import end_tokens, greedy_answers
from ..tasks.draws import seed_of
from ..tasks.kinds import make_question
from ..tasks.prompt import encode, is_chat, render
from ..tasks.question import Question
from ..tasks.right import holds
from ..tasks.texts import Texts
from .states import Head

# Tokens that the dense model may say beyond those of the answer.
_WORDS: Final = 24
_ROWS: Final = 8


@dataclass(frozen=True)
class Asked:
    """A question as tokens: prompt and response. first, last: positions of the response's tokens
    that hold the answer, `[first, last)`. distance: tokens from the evidence to the answer."""

    tokens: list[int]
    first: int
    last: int
    depth: float
    distance: int


@dataclass(frozen=True)
class _Prompt:
    question: Question
    tokens: list[int]
    distance: int


def ask(
    model: Any,
    tokenizer: Any,
    kind: str,
    length: int,
    samples: int,
    depths: int,
    seed: int,
    texts: Texts | None,
) -> list[Asked]:
    """Questions of a kind whose prompt and response fit into `length` tokens. The model attends as
    it comes. texts: None for our own filler. Raises MOA7422, MOA7423 and MOA7424 as
    `make_question` and `render`."""
    prompts = []
    for sample in range(samples):
        depth = (sample % depths + 0.5) / depths
        place = seed_of("evaluate", kind, length, seed, sample)
        prompts.append(_prompt(tokenizer, kind, length, depth, place, texts))
    found: list[Asked] = []
    for begin in range(0, samples, _ROWS):
        rows = prompts[begin : begin + _ROWS]
        for prompt, said in zip(rows, _said(model, tokenizer, rows), strict=True):
            found.append(_asked(tokenizer, prompt, said))
    return found


def is_right(states: torch.Tensor, head: Head, asked: Asked) -> bool:
    """states: of the positions from `first - 1` to before `last - 1`."""
    wanted = torch.tensor(asked.tokens[asked.first : asked.last])
    return bool((head(states).argmax(-1).cpu() == wanted).all())


def _prompt(
    tokenizer: Any, kind: str, length: int, depth: float, seed: int, texts: Texts | None
) -> _Prompt:
    def length_of(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    room = 2 * _WORDS
    context = length - room
    while True:
        question = make_question(kind, length_of, context, depth, seed, texts)
        tokens = encode(tokenizer, question)
        answer = length_of(question.answer)
        excess = len(tokens) + answer + _WORDS - length
        if excess <= 0:
            break
        context -= excess
    text = render(tokenizer, question)
    end = text.index(question.context) + question.evidence[0][1]
    return _Prompt(question, tokens, len(tokens) - length_of(text[:end]))


def _said(model: Any, tokenizer: Any, prompts: Sequence[_Prompt]) -> list[list[int]]:
    """What the dense model says, greedily."""

    def most(prompt: _Prompt) -> int:
        answer = tokenizer(prompt.question.answer, add_special_tokens=False)["input_ids"]
        return len(answer) + _WORDS

    ends = end_tokens(model, tokenizer)
    return greedy_answers(model, [each.tokens for each in prompts], max(map(most, prompts)), ends)


def _asked(tokenizer: Any, prompt: _Prompt, said: list[int]) -> Asked:
    question, begin = prompt.question, len(prompt.tokens)

    def has(tokens: list[int]) -> bool:
        return holds(question.answer, tokenizer.decode(tokens, skip_special_tokens=True))

    if has(said):
        last = next(end for end in range(1, len(said) + 1) if has(said[:end]))
        first = next(at for at in range(last - 1, -1, -1) if has(said[at:last]))
        response = said[:last]
    else:
        blank = "" if is_chat(tokenizer) else " "
        text = f"{blank}{question.answer}"
        response = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        first, last = 0, len(response)
    depth = question.depth
    assert depth is not None, "internal error: a question that was made has a depth"
    tokens = [*prompt.tokens, *response]
    return Asked(tokens, begin + first, begin + last, depth, prompt.distance + first)
