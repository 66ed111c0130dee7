"""A decode step of a batch: one new token in each row, over static memory."""

from collections.abc import Sequence
from typing import Any

import torch

from ..session import Session
from .cache import MoaCache
from .static_forward import ModelForward, StaticForward
from .step import packed
from .step_graph import MakeGraph


class DecodeRows:
    """A decode as layers find it: one token of each sequence, in the order of slots.

    spread: `[slots]`, the row of each slot, any for free ones; taken: `[rows]`, the slot of each
    row. None where all slots hold a sequence.
    """

    def __init__(
        self,
        session: Session,
        spread: torch.Tensor | None = None,
        taken: torch.Tensor | None = None,
    ) -> None:
        self.session, self.layers = session, 0
        self._spread, self._taken = spread, taken

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Appends keys and values to a layer and attends. Shapes as of `interface.attention`; rows
        and columns together are the sequences."""
        self.layers += 1
        batch, heads, columns, head_dim = query.shape
        q, k, v = (packed(each, self._spread) for each in (query, key, value))
        out = torch.empty_like(q)
        self.session.decode(layer, q, k, v, out)
        if self._taken is not None:
            out = out.index_select(0, self._taken)
        return out.view(batch, columns, heads, head_dim)


class DecodeGraph:
    """Decode steps of so many rows of one session. Its forward has rows in the order of slots, so a
    fork changes the order in which ids go in and logits come out, and nothing else.

    is_static: whether the model gives logits alone, as far as it was run.
    """

    def __init__(self, model: ModelForward, session: Session, rows: int, make: MakeGraph) -> None:
        device, slots = session.device, session.slots
        self._forward = StaticForward(model, rows, 1, 1, device)
        with torch.inference_mode(False):
            self._to_order = torch.zeros(rows, dtype=torch.long, device=device)
            self._from_order = torch.zeros_like(self._to_order)
            full = slots == rows
            self._spread = None if full else torch.zeros(slots, dtype=torch.long, device=device)
            self._taken = None if full else torch.zeros_like(self._to_order)
        step = DecodeRows(session, self._spread, self._taken)
        self._graph = make(session, lambda cache: self._forward.run(step, cache))
        self.is_static = True
        self._slots_of_rows: list[int] = []
        self._in_order = True

    def run(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        column: int,
        slots: Sequence[int],
        cache: MoaCache,
    ) -> Any:
        """A step. ids `[rows, 1]`; positions `[1 or rows, 1]`; column: of the cache; slots: of each
        row, all different. Returns the model's output, which no later step writes."""
        self._order(slots)
        forward = self._forward
        positions = positions.expand_as(ids)
        if not self._in_order:
            ids, positions = (each.index_select(0, self._to_order) for each in (ids, positions))
        forward.ids.copy_(ids)
        forward.positions.copy_(positions)
        forward.begins.fill_(column)
        logits = self._graph.run(cache)
        other, forward.other = forward.other, None
        if other is not None:
            self.is_static = False
            if self._in_order:
                return other
        logits = logits.clone() if self._in_order else logits.index_select(0, self._from_order)
        return forward.output(logits, cache)

    def _order(self, slots: Sequence[int]) -> None:
        """Brings the index of rows to the device where it changed."""
        if self._slots_of_rows == list(slots):
            return
        order = sorted(range(len(slots)), key=lambda row: slots[row])
        rank = [0] * len(order)
        for place, row in enumerate(order):
            rank[row] = place
        self._in_order = order == rank == list(range(len(order)))
        write_numbers(self._to_order, order)
        write_numbers(self._from_order, rank)
        if self._spread is not None and self._taken is not None:
            taken = [slots[row] for row in order]
            spread = [0] * len(self._spread)
            for place, slot in enumerate(taken):
                spread[slot] = place
            write_numbers(self._spread, spread)
            write_numbers(self._taken, taken)
        self._slots_of_rows = list(slots)


def write_numbers(target: torch.Tensor, numbers: Sequence[int]) -> None:
    """Copies numbers to a tensor on the device in the order of the stream, without waiting."""
    target.copy_(_staged(target.device, numbers).view_as(target), non_blocking=True)


def numbers_on(device: torch.device, numbers: Sequence[int]) -> torch.Tensor:
    """Numbers as a new tensor on the device, likewise."""
    return _staged(device, numbers).to(device, non_blocking=True)


def _staged(device: torch.device, numbers: Sequence[int]) -> torch.Tensor:
    source = torch.tensor(numbers, dtype=torch.long)
    # torch keeps pinned memory until a copy has passed.
    return source.pin_memory() if device.type == "cuda" else source
