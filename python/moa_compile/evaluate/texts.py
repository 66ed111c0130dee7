"""Loss on texts by position, and how far a subject's next tokens are from those of the dense
model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..search.codes import MoaError
from ..tasks.draws import seed_of
from ..tasks.prompt import begin_tokens
from ..tasks.texts import Texts
from .states import Head, parts

# Characters that are tokenised for a token that is wanted, at first.
_CHARACTERS = 6


def text_samples(
    texts: Texts, tokenizer: Any, length: int, samples: int, seed: int
) -> list[list[int]]:
    """Stretches of so many tokens, each at a place of its own. Raises MOA7422 where the texts are
    shorter."""
    begin = begin_tokens(tokenizer)
    found = []
    for sample in range(samples):
        place, characters = seed_of("evaluate", seed, sample), _CHARACTERS * length
        while True:
            text = texts.stretch(place, characters)
            tokens = [*begin, *tokenizer(text, add_special_tokens=False)["input_ids"]]
            if len(tokens) >= length:
                break
            if len(text) < characters:
                message = f"{texts.name} has {len(tokens)} tokens; {length} are wanted"
                raise MoaError("MOA7422", message, "add texts, or ask for shorter lengths")
            characters *= 2
        found.append(tokens[:length])
    return found


@dataclass
class LossByPosition:
    """Of octaves of positions: sums of the losses in nats, and how many tokens."""

    edges: list[int]
    losses: list[float]
    tokens: list[int]

    @staticmethod
    def of(length: int) -> "LossByPosition":
        edges = [1]
        while edges[-1] < length:
            edges.append(min(max(64, 2 * edges[-1]), length))
        count = len(edges) - 1
        return LossByPosition(edges, [0.0] * count, [0] * count)

    def add(self, losses: torch.Tensor) -> None:
        """losses: `[length - 1]`, of positions 1 and on."""
        for index, (begin, end) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            own = losses[begin - 1 : end - 1]
            self.losses[index] += float(own.double().sum())
            self.tokens[index] += len(own)

    def row(self) -> dict[str, Any]:
        bins = [
            {"from": begin, "to": end, "tokens": count, "loss": loss / count}
            for begin, end, count, loss in zip(
                self.edges, self.edges[1:], self.tokens, self.losses, strict=False
            )
            if count > 0
        ]
        tokens = sum(self.tokens)
        return {"tokens": tokens, "loss": sum(self.losses) / tokens, "byPosition": bins}


def next_token_losses(
    model: Any, head: Head, states: torch.Tensor, tokens: Sequence[int]
) -> torch.Tensor:
    """In nats `[length - 1]`. states: `[length, hidden]`."""
    labels = torch.tensor(tokens)[1:]
    found = []
    for part in parts(model, len(labels)):
        logits = head(states[part])
        wanted = labels[part].to(logits.device)
        found.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="none").cpu())
    return torch.cat(found)


@dataclass
class Agreement:
    """Sums over tokens: the KL divergence of next tokens from those of a reference, in nats, and
    how often the most likely one is the same."""

    tokens: int = 0
    kl: float = 0.0
    same: int = 0

    def add(self, model: Any, head: Head, reference: torch.Tensor, states: torch.Tensor) -> None:
        """Both `[length, hidden]`."""
        for part in parts(model, len(states)):
            expected, found = (head(each[part]).log_softmax(-1) for each in (reference, states))
            self.kl += float((expected.exp() * (expected - found)).sum(-1).double().sum())
            self.same += int((expected.argmax(-1) == found.argmax(-1)).sum())
            self.tokens += len(expected)

    def row(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "kl": self.kl / self.tokens, "top1": self.same / self.tokens}
