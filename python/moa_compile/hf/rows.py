"""The rows of a batch and the sequences of a session that hold their tokens.

Rows may have one sequence between them, as long as they have the same tokens: copies of a prompt,
beams, and what a selection of rows repeats. It is forked when their new tokens differ. Selecting
rows is then a matter of numbers, and pages are stored once until they are written."""

from collections.abc import Sequence

import torch

from ..errors import MoaError
from ..session import Session
from .call import ForwardCall
from .columns import NewColumns, read_columns, row_keys
from .known_masks import KnownMasks
from .problems import NotCopied, problem
from .sessions import SessionPool
from .step import Step


class CacheRows(NotCopied):
    """What a `MoaCache` holds.

    rows: of the batch; 0 before the first forward. columns: of each row in the cache, padding
    included. length_bound: the most tokens of a row, from which windows follow.
    most: the most rows; None: those of the first forward. copies: how often each prompt of the
    first forward is repeated, in rows one after the other.
    masks: what is known of masks on the host. looked_at: the state of the model that decode steps
    were found to be of since the last prompt (`ModelState`).
    """

    def __init__(
        self, pool: SessionPool, length_bound: int, most: int | None = None, copies: int = 1
    ) -> None:
        self.length_bound, self.most, self.rows, self.columns = length_bound, most, 0, 0
        self.pool, self._copies = pool, copies
        # The forward under way: its new columns, and how many.
        self._pending: tuple[NewColumns, int] | None = None
        self.masks = KnownMasks()
        # The mask of the forward under way; none of a step that is known to be plain.
        self._call: ForwardCall | None = None
        self.looked_at: object = None
        self._session: Session | None = None
        self._slots: list[int] = []
        # Which columns are tokens, `[rows, columns]` on the device; None: all are.
        self._mask: torch.Tensor | None = None
        self._closed: str | None = None

    @property
    def session(self) -> Session | None:
        """That holds the tokens; None before the first forward."""
        return self._session

    @property
    def slots(self) -> list[int]:
        """The sequence of each row, by its slot in the session."""
        return list(self._slots)

    def lengths(self) -> list[int]:
        """Tokens of each row in the cache, padding not counted."""
        if self._session is None:
            return [0] * self.rows
        held = self._session.lengths(0)
        return [held[slot] for slot in self._slots]

    # Forwards

    def begin(self, call: ForwardCall) -> Step:
        """The step of a forward, which `end` ends. Raises MOA6304 for a batch of another size or a
        cache that is closed, MOA6305, MOA6306, and MOA6308 for more tokens than the bound; nothing
        changes then."""
        self._check_open()
        self._check_rows(call.rows)
        started = self._session is not None
        slots = self._slots if started else self._first_slots(call.rows)
        leaders = [slots.index(slot) for slot in slots]
        new = read_columns(call, self.columns, self._mask, leaders)
        self._check_bound(self.lengths() if started else [0] * call.rows, new)
        session = self._started(call.rows)
        if not all(new.like):
            self._split(call, new, leaders)
        self._pending, self._call = (new, call.columns), call
        if call.columns > 1:
            self.looked_at = None
        return Step(session, new, self._slots, call.columns)

    def begin_decode(
        self, rows: int, mask: torch.Tensor | None, begins: object
    ) -> Sequence[int] | None:
        """Begins a step of one new token in each row, which `end` ends, and returns the sequence of
        each row, which is its own. Reads nothing from the device. None, and nothing has changed,
        where rows are not known to bring one token each, or the step is to be refused."""
        session = self._session
        if session is None or self._closed is not None or self._pending is not None:
            return None
        if rows != self.rows or any(length >= self.length_bound for length in self.lengths()):
            return None
        if mask is None and (self._mask is not None or begins is not None):
            return None
        if mask is not None and not self.masks.is_next(mask, begins):
            return None
        taken: set[int] = set()
        for row, slot in enumerate(self._slots):
            # Beams bring different tokens, and so do samples before long.
            self._slots[row] = session.fork(slot) if slot in taken else slot
            taken.add(self._slots[row])
        self._pending = NewColumns(None, None, [1] * rows, [True] * rows), 1
        return self.slots

    def end(self) -> None:
        """Counts the new columns: all layers have them."""
        assert self._pending is not None, "internal error: no forward is under way"
        (new, columns), self._pending = self._pending, None
        call, self._call = self._call, None
        if call is None:
            self.masks.advance()
        else:
            self.masks.read(call.mask, new.real, self.rows)
        if new.mask is not None or self._mask is not None:
            parts = ((self._mask, self.columns), (new.mask, columns))
            device = next(mask.device for mask, _ in parts if mask is not None)
            self._mask = torch.cat(
                [
                    torch.ones(self.rows, width, dtype=torch.bool, device=device)
                    if mask is None
                    else mask
                    for mask, width in parts
                ],
                1,
            )
        self.columns += columns

    def check_under_way(self) -> None:
        """Raises MOA6304 where no forward is, between `begin` and `end`."""
        if self._pending is None or self._closed is not None:
            raise problem("badCache", "the cache was given to a model that is not attached")

    def close(self, reason: str = "it was closed") -> None:
        """Gives the session back. Every other call raises MOA6304 afterwards."""
        if self._closed is None:
            self._closed = reason
            session, self._session, self._mask = self._session, None, None
            if session is not None:
                self.pool.give(session)

    # Changes

    def select(self, indices: Sequence[int]) -> None:
        """Row i becomes what row `indices[i]` is. Sequences that no row has end."""
        self._check_open()
        if self._session is None or list(indices) == list(range(self.rows)):
            return
        if len(indices) > self._session.slots:
            message = (
                f"{len(indices)} rows; the cache was made for {self._session.slots}: batch_size of "
                f"new_cache is the most that it will have"
            )
            raise problem("badCache", message)
        kept = [self._slots[index] for index in indices]
        for slot in set(self._slots).difference(kept):
            self._session.remove(slot)
        self._slots, self.rows = kept, len(kept)
        self.masks.select(indices)
        if self._mask is not None:
            index = torch.tensor(list(indices), device=self._mask.device, dtype=torch.long)
            self._mask = self._mask.index_select(0, index)

    def crop(self, count: int) -> None:
        """Takes back the newest `count` columns. Raises MOA6110 where a ring has lost tokens that
        the next one attends; nothing changes then, or the cache is closed where other rows have
        changed."""
        self._check_open()
        if count <= 0 or self._session is None:
            return
        count = min(count, self.columns)
        removed = [count] * len(self._slots)
        if self._mask is not None:
            removed = self._mask[:, self.columns - count :].sum(1).tolist()
        lengths = dict(zip(self._slots, self.lengths(), strict=True))
        changed = False
        for slot, tokens in dict(zip(self._slots, removed, strict=True)).items():
            try:
                if tokens > 0:
                    self._session.truncate(slot, lengths[slot] - tokens)
                    changed = True
            except MoaError:
                if changed:
                    self.close("some rows lost their newest tokens, and others could not")
                raise
        self.columns -= count
        self.masks.forget()
        if self._mask is not None:
            self._mask = self._mask[:, : self.columns]

    def reset(self) -> None:
        """Forgets all tokens. The session stays."""
        self._check_open()
        if self._session is not None:
            for slot in set(self._slots):
                self._session.truncate(slot, 0)
        self.columns, self._mask, self.masks = 0, None, KnownMasks()

    # The sequences

    def _first_slots(self, rows: int) -> list[int]:
        """Rows that begin with one sequence, as copies of one prompt."""
        copies = self._copies if rows % self._copies == 0 else 1
        return [row // copies for row in range(rows)]

    def _started(self, rows: int) -> Session:
        if self._session is None:
            session = self.pool.take(self.most or rows, self.length_bound)
            # Free slots are given in order.
            self._session, self.rows, self._slots = session, rows, self._first_slots(rows)
            for _ in set(self._slots):
                session.add(length_bound=self.length_bound)
        return self._session

    def _split(self, call: ForwardCall, new: NewColumns, leaders: Sequence[int]) -> None:
        """Forks sequences whose rows bring different tokens."""
        assert self._session is not None, "internal error: a cache that was not begun is split"
        of: dict[tuple[object, ...], int] = {}
        for row, key in enumerate(row_keys(call, new)):
            leader = leaders[row]
            # Those that differ from their leader may be alike among themselves.
            own = (leader,) if new.like[row] else (leader, *key)
            if own not in of:
                slot = self._slots[row]
                of[own] = slot if new.like[row] else self._session.fork(slot)
            self._slots[row] = of[own]

    def _check_rows(self, rows: int) -> None:
        if self._session is None and (self.most is None or rows <= self.most):
            return
        if self._session is None or rows != self.rows:
            held = self.rows if self._session is not None else f"at most {self.most}"
            raise problem("badCache", f"the cache has {held} rows, the batch {rows}")

    def _check_bound(self, before: Sequence[int], new: NewColumns) -> None:
        for row, (held, count) in enumerate(zip(before, new.counts, strict=True)):
            if held + count > self.length_bound:
                message = (
                    f"row {row} has {held} tokens and brings {count}; the length bound is "
                    f"{self.length_bound}"
                )
                raise problem("overBound", message)

    def _check_open(self) -> None:
        if self._closed is not None:
            raise problem("badCache", f"the cache cannot be used: {self._closed}")
        if self._pending is not None:
            raise problem("badCache", "a forward through the cache is under way, or was cancelled")
