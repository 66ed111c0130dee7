"""Masks that the host knows without reading them.

A step of `generate` brings the mask of the step before with a column of ones behind it. To compare
the two the host would have to wait for the device in each step. But it was there when the mask was
made, so it knows the tensor itself: it follows from one that was compared.
"""

from collections.abc import Sequence

import torch


class KnownMasks:
    """Of one cache: the mask that says what its columns are, and the one that has a column of
    tokens more."""

    def __init__(self) -> None:
        self._now: tuple[torch.Tensor, int] | None = None
        self._next: tuple[torch.Tensor, int] | None = None
        self._begins: object = None
        # Rows with equal numbers have padding in the same columns.
        self._alike: list[int] = []

    def read(self, mask: torch.Tensor | None, real: torch.Tensor | None, rows: int) -> None:
        """A forward compared this mask. real: which of its new columns are tokens, `[rows,
        columns]` bool on the host; None: all."""
        self.forget()
        if mask is not None:
            self._now = mask, _version(mask)
        if len(self._alike) != rows:
            self._alike = [0] * rows
        if real is not None:
            keys = list(zip(self._alike, map(tuple, real.tolist()), strict=True))
            numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
            self._alike = [numbers[key] for key in keys]

    def follow(self, before: object, after: object, begins: object) -> None:
        """`after` was made from `before` by a column of ones. begins: the position of that column
        in transformers 4."""
        self._next, self._begins = None, None
        now = self._now
        if now is None or before is not now[0] or _version(now[0]) != now[1]:
            return
        shape = (now[0].shape[0], now[0].shape[1] + 1)
        if isinstance(after, torch.Tensor) and after.shape == shape:
            self._next, self._begins = (after, _version(after)), begins

    def is_next(self, mask: torch.Tensor, begins: object) -> bool:
        """Whether a mask is known to be that of the cache and a column of tokens."""
        known = self._next
        return (
            known is not None
            and mask is known[0]
            and _version(mask) == known[1]
            and (begins is None or begins is self._begins)
        )

    def advance(self) -> None:
        """The cache has the column."""
        self._now, self._next, self._begins = self._next, None, None

    def select(self, indices: Sequence[int]) -> None:
        """Row i became what row `indices[i]` was. The mask stays known where that has padding in
        the same columns: beams of one prompt do."""
        before = self._alike
        self._alike = [before[index] for index in indices]
        if self._alike != before:
            self.forget()

    def forget(self) -> None:
        """No mask is known: the next forward compares its own."""
        self._now = self._next = self._begins = None


def _version(tensor: torch.Tensor) -> int:
    """Changes when a tensor is written. Those of inference mode have none: between two steps
    nobody but `generate` holds them."""
    return -1 if tensor.is_inference() else tensor._version
