"""Hidden states of samples, and logits of them: the head runs apart from the attention, a few
positions at a time, so that logits of a whole sample never lie in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch

from ..search.loss import base_of, head_of

# From hidden states [n, hidden] to logits [n, vocabulary] in float32.
Head = Callable[[torch.Tensor], torch.Tensor]
_BUDGET: Final = {"cuda": 512 << 20, "cpu": 64 << 20}


def last_states(model: Any, tokens: Sequence[int], first: int) -> torch.Tensor:
    """The last hidden states `[tokens - first, hidden]` from position `first` on, on the CPU."""
    device = model.get_input_embeddings().weight.device
    ids = torch.tensor([tokens], device=device)
    with torch.no_grad():
        hidden = base_of(model)(input_ids=ids, use_cache=False).last_hidden_state
    states: torch.Tensor = hidden[0, first:].cpu()
    return states


@contextmanager
def head(model: Any) -> Iterator[Head]:
    """What the model makes of last hidden states. For a model that attends as it comes."""
    device = model.get_input_embeddings().weight.device
    ids = torch.zeros(1, 1, dtype=torch.long, device=device)
    with torch.no_grad():
        base = base_of(model)
        outputs = type(base(input_ids=ids, use_cache=False))
        with head_of(model, base, outputs) as run:
            yield lambda states: run(states[None].to(device))[0].float()


def parts(model: Any, positions: int) -> Iterator[slice]:
    """Positions in parts whose logits fit."""
    device = model.get_input_embeddings().weight.device
    vocabulary = model.config.get_text_config().vocab_size
    size = max(1, _BUDGET[device.type] // (16 * vocabulary))
    for begin in range(0, positions, size):
        yield slice(begin, min(begin + size, positions))
