"""What a query head attends: the plan's mask and the model's together.

The same rule as src/ir/affine.ts; python/tests/search/effective_mask.json holds both to one table. Everything here that masks or counts keys takes it from here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mask:
    """The query at i attends j when j <= i and (j < sink or i - j < window)."""

    sink: int
    window: int


def effective_mask(span: int, sink: int, model_window: int | None) -> Mask:
    """The mask of a head whose rule keeps `span` tokens, in a layer whose own sliding window in the model is `model_window` (None: it has none).

    A layer with a window of its own attends i - j < model_window and no first tokens, so neither does the plan there.
    """
    own = 0 if model_window is not None else sink
    return within_model(Mask(own, span - own), model_window)


def within_model(mask: Mask, model_window: int | None) -> Mask:
    """What is left of a mask in a layer of the model."""
    if model_window is None:
        return mask
    return Mask(0, min(mask.window, model_window))
