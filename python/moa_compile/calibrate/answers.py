"""What the dense model answers, greedily."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer."""
    ends: set[int] = set()
    own = getattr(model.generation_config, "eos_token_id", None)
    for stated in (own, tokenizer.eos_token_id):
        if stated is not None:
            ends.update(stated if isinstance(stated, list) else [stated])
    return sorted(ends)


def greedy_answers(
    model: Any, prompts: list[list[int]], most: int, ends: list[int]
) -> list[list[int]]:
    """The most likely tokens after each prompt, one after the other, up to the first of `ends`,
    which stays, or `most` of them. Prompts of a batch are padded at their left."""
    from transformers import GenerationConfig

    longest = max(map(len, prompts))
    padding = ends[0] if ends else 0
    device = model.get_input_embeddings().weight.device
    padded = [[padding] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    # Nothing of the model's own settings, which may sample or forbid repetitions.
    config = GenerationConfig(
        do_sample=False, max_new_tokens=most, eos_token_id=ends or None, pad_token_id=padding
    )
    with _generating(model, config), torch.no_grad():
        output = model.generate(
            input_ids=torch.tensor(padded, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=config,
        )
    return [_until_end(row, ends) for row in output[:, longest:].tolist()]


def _until_end(tokens: list[int], ends: list[int]) -> list[int]:
    end = next((at for at, token in enumerate(tokens) if token in ends), len(tokens) - 1)
    return tokens[: end + 1]


def first_line(tokenizer: Any, tokens: list[int]) -> list[int]:
    """The tokens before the one that ends the first line with something in it. What a plain
    language model says after that is no answer any more."""
    for count in range(1, len(tokens) + 1):
        if "\n" in tokenizer.decode(tokens[:count], skip_special_tokens=True).lstrip():
            return tokens[: max(count - 1, 1)]
    return tokens


@contextmanager
def _generating(model: Any, config: Any) -> Iterator[None]:
    """With this configuration in place of the model's own."""
    before = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = before
