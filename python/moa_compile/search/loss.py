"""The loss of a sample: the mean cross-entropy of its answer tokens, in float32, without logits of any other position."""

from contextlib import contextmanager
from dataclasses import dataclass

import torch

from .data import IGNORED, Sample
from .interface import unsupported

NOT_FINITE_HELP = "try --dtype float32 (or bfloat16), and check the weights and the sample"


@dataclass(frozen=True)
class SampleLoss:
    loss: float
    answers: int
    right: int
    """How many answer tokens are the most likely one."""


TARGETS = ("cross-entropy", "margin")
"""What the backward pass is of. The margin is by how much the log-odds of the other tokens exceed those of the right one: unlike the loss, its gradient
does not vanish where the model is sure and right."""


def run_sample(model, sample: Sample, scale: float | None = None, target: str = TARGETS[0]) -> SampleLoss:
    """One forward pass of a sample and, if `scale` is given, a backward pass of scale * target, a mean over the answers, down to the embeddings.

    A label belongs to the position before it, whose logits predict it. The head runs on answer positions alone, some at a time:
    all logits of a long sample would be T x vocabulary floats.
    """
    base = base_of(model)
    device = model.get_input_embeddings().weight.device
    tokens = torch.tensor(sample.tokens, device=device)
    labels = torch.tensor(sample.labels, device=device)[1:]
    positions = (labels != IGNORED).nonzero()[:, 0]
    outputs = base(input_ids=tokens[None], use_cache=False)
    hidden = outputs.last_hidden_state
    grad = torch.zeros_like(hidden) if scale is not None else None
    count, right = len(positions), 0
    total = torch.zeros((), dtype=torch.float64, device=device)
    budget = (512 << 20) if device.type == "cuda" else (64 << 20)
    part = max(1, budget // (12 * model.config.get_text_config().vocab_size))
    with head_of(model, base, type(outputs)) as head:
        for chosen in positions.split(part):
            states = hidden[0, chosen].detach().requires_grad_(scale is not None)
            logits = head(states[None])[0].to(torch.float64 if hidden.dtype == torch.float64 else torch.float32)
            loss = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="sum")
            total += loss.detach()
            right += (logits.argmax(-1) == labels[chosen]).sum()
            if scale is not None:
                (_target_of(logits, labels[chosen], loss, target) * (scale / count)).backward()
                grad[0, chosen] = states.grad
    if scale is not None:
        hidden.backward(grad)
    return SampleLoss(float(total) / count, count, int(right))


def base_of(model):
    """The model without its head. Of Gemma 3, transformers 4 knows it as the decoder alone."""
    base = model.base_model
    if base is model and hasattr(model, "get_decoder"):
        base = model.get_decoder()
    if base is None or base is model:
        raise unsupported(f"{type(model).__name__} has no base model apart from its head")
    return base


def _target_of(logits: torch.Tensor, right: torch.Tensor, loss: torch.Tensor, target: str) -> torch.Tensor:
    """The sum over answers. logits: [n, vocabulary]; right: [n]; loss: their cross-entropy, summed."""
    if target == "cross-entropy":
        return loss
    own = logits.gather(1, right[:, None])
    others = logits.scatter(1, right[:, None], float("-inf")).logsumexp(1)
    return (others - own[:, 0]).sum()


@contextmanager
def head_of(model, base, outputs_type):
    """The function from last hidden states [1, n, hidden] to logits [1, n, vocabulary] that the model's own forward applies.

    What lies between the two (a scale, Gemma's softcap) differs by model, so the forward itself is called, with a base that gives the states back.
    """
    states, own = [], vars(base).get("forward")
    base.forward = lambda *args, **kwargs: outputs_type(last_hidden_state=states[-1])

    def head(hidden):
        states[:] = [hidden]
        ids = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
        return model(input_ids=ids, use_cache=False, return_dict=True).logits

    try:
        yield head
    finally:
        if own is None:
            del base.forward
        else:
            base.forward = own
