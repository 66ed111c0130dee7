"""How `generate_batch` chooses tokens."""

import random
from collections.abc import Callable, Sequence

import torch

# Of logits `[n, vocabulary]` float32, and the number of the prompt of each row: tokens `[n]`.
Choose = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]


def greedy(logits: torch.Tensor, _: Sequence[int]) -> torch.Tensor:
    """The token with the largest logit."""
    return logits.argmax(-1)


def sampled(temperature: float, top_k: int, seed: int) -> Choose:
    """Draws tokens by their probabilities, among the `top_k` largest; 0: among all.

    Each prompt has random numbers of its own, so its text depends on no other prompt, and on no
    step in which it was computed.
    """
    numbers: dict[int, random.Random] = {}

    def choose(logits: torch.Tensor, prompts: Sequence[int]) -> torch.Tensor:
        for prompt in prompts:
            if prompt not in numbers:
                numbers[prompt] = random.Random(f"{seed} {prompt}")
        drawn = torch.tensor([[numbers[prompt].random()] for prompt in prompts])
        if logits.is_cuda:
            drawn = drawn.pin_memory().to(logits.device, non_blocking=True)
        count = min(top_k, logits.shape[1]) or logits.shape[1]
        values, tokens = (logits / temperature).topk(count, -1)
        ends = values.softmax(-1).cumsum(-1)
        # The sum of all is 1 but for rounding.
        index = torch.searchsorted(ends, drawn * ends[:, -1:], right=True).clamp(max=count - 1)
        return tokens.gather(1, index).view(-1)

    return choose
