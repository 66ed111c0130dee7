"""A forward under way: the new tokens of a batch, packed for a session, and its outputs back in
their columns."""

from collections.abc import Sequence

import torch

from ..session import Session
from .columns import NewColumns


class Step:
    """New tokens of one forward. Each layer attends once."""

    def __init__(
        self, session: Session, columns: NewColumns, slots: Sequence[int], width: int
    ) -> None:
        """slots: the sequence of each row; rows with one sequence bring the same tokens, and the
        first of them stands for all. width: new columns of each row."""
        self.session = session
        self.layers = 0
        owners: dict[int, int] = {}
        for row, slot in enumerate(slots):
            owners.setdefault(slot, row)
        counts = [0] * session.slots
        for slot, row in owners.items():
            counts[slot] = columns.counts[row]
        self.counts = counts
        self.ends = [0]
        for count in counts:
            self.ends.append(self.ends[-1] + count)
        self._from: torch.Tensor | None = None
        self._back: torch.Tensor | None = None
        self._pads = columns.real is not None
        ordered = len(owners) == len(slots) and list(slots) == sorted(slots)
        if not ordered or self._pads:
            self._index(columns, slots, owners, width, session.device)
        # One token of every sequence, in the order of slots.
        self._decodes = width == 1 and self._back is None and len(slots) == session.slots

    @property
    def tokens(self) -> int:
        """Of all sequences."""
        return self.ends[-1]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Appends keys and values to a layer and attends. Shapes as of `interface.attention`."""
        self.layers += 1
        batch, heads, columns, head_dim = query.shape
        # Behind the tokens a row of zeros, which padding gets.
        out = query.new_empty(self.tokens + int(self._pads), heads, head_dim)
        if self._pads:
            out[self.tokens :].zero_()
        if self.tokens > 0:
            q, k, v = (packed(each, self._from) for each in (query, key, value))
            if self._decodes:
                self.session.decode(layer, q, k, v, out)
            else:
                self.session.step(layer, q, k, v, out[: self.tokens], cu_seqlens=self.ends)
        if self._back is not None:
            out = out.index_select(0, self._back)
        return out.view(batch, columns, heads, head_dim)

    def _index(
        self,
        columns: NewColumns,
        slots: Sequence[int],
        owners: dict[int, int],
        width: int,
        device: torch.device,
    ) -> None:
        """Where each packed token comes from, and where each column finds its output."""
        every = torch.arange(width)
        taken = [
            every if columns.real is None else columns.real[row].nonzero().view(-1)
            for row in range(len(slots))
        ]
        ordered = sorted(owners.items())
        self._from = torch.cat([owner * width + taken[owner] for _, owner in ordered]).to(device)
        back = torch.full((len(slots), width), self.tokens, dtype=torch.long)
        for row, slot in enumerate(slots):
            begin, end = self.ends[slot], self.ends[slot + 1]
            back[row, taken[row]] = torch.arange(begin, end)
        self._back = back.view(-1).to(device)


def packed(tensor: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
    """`[batch, heads, columns, head dim]` to contiguous `[tokens, heads, head dim]`: those of
    `index` among all columns of all rows; None: all."""
    batch, heads, columns, head_dim = tensor.shape
    if columns == 1:
        rows = tensor.squeeze(2)
    else:
        rows = tensor.transpose(1, 2).reshape(batch * columns, heads, head_dim)
    return rows.contiguous() if index is None else rows.index_select(0, index)
