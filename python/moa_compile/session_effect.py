"""A session in a graph: the tokens that each replay adds to its layers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .call_checks import check_counts
from .new_tokens import NewTokens
from .placed_counts import PlacedCounts
from .sequences import AddedTokens, Lengths, Sequences
from .session_buffers import LayerState


@dataclass(frozen=True)
class DecodeCounts:
    """Counts of a decode: `fixed` ones that the host knows, `placed` where it brings them, or a
    `tensor` on the device."""

    address: int
    fixed: list[int] | None = None
    placed: PlacedCounts | None = None
    tensor: torch.Tensor | None = None

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The caller's memory that launches read."""
        return [] if self.tensor is None else [self.tensor]


@dataclass(frozen=True)
class _RecordedTokens:
    """New tokens of a recorded call. Equal ones have equal keys. `of`: those of a replay, with what
    was read for it."""

    key: object
    of: Callable[[dict[int, list[int]]], AddedTokens]
    write: Callable[[], None] | None = None


class SessionEffect:
    """Tokens are checked against length bounds and the pool before a replay and counted after it,
    for all sessions of the graph alike.

    last_written: the layer that the graph's last launch of this session wrote; None before the
    first.
    """

    def __init__(
        self, sequences: Sequences, check_alive: Callable[[], None], was_written: Callable[[], None]
    ) -> None:
        self.last_written: int | None = None
        self._sequences, self._check_alive, self._was_written = sequences, check_alive, was_written
        # By the layer's number among those of the session: what it gets, call by call.
        self._added: dict[int, list[_RecordedTokens]] = {}
        # For which tokens the graph has planned last, and the first layer with each such plan.
        self._planned: dict[str, object] = {}
        self._planners: dict[object, int] = {}
        self._in_step: list[tuple[int, int]] = []
        self._checked: list[tuple[int, Lengths]] = []
        self._lengths: list[Lengths] = []

    def add_decode(
        self, state: LayerState, plan: str, tokens: int, counts: DecodeCounts | None
    ) -> bool:
        """A decode of so many tokens is recorded. Returns whether it has to be planned first."""
        if counts is None:
            return self._add(state, plan, _RecordedTokens(tokens, lambda _: tokens))
        if counts.fixed is not None:
            fixed, placed = counts.fixed, counts.placed
            write = None if placed is None else placed.write
            return self._add(state, plan, _RecordedTokens((tokens, *fixed), lambda _: fixed, write))
        tensor, address = counts.tensor, counts.address
        assert tensor is not None, "internal error: counts lie somewhere"
        slots = self._sequences.slots

        def of(read: dict[int, list[int]]) -> AddedTokens:
            if address not in read:
                read[address] = tensor.flatten().tolist()
            return check_counts(read[address], slots, tokens)

        return self._add(state, plan, _RecordedTokens((tokens, "at", address), of))

    def add_step(self, state: LayerState, numbers: NewTokens) -> bool:
        """A step of numbers that lie on the device is recorded, likewise."""

        def of(_: dict[int, list[int]]) -> AddedTokens:
            self._sequences.check_added(numbers.counts)
            return numbers.counts

        plans = self._add(state, "packed", _RecordedTokens(("numbers", numbers.address), of))
        # The plan of a decode of one token has the same memory.
        if plans:
            self._planned.pop("one", None)
        return plans

    def check_alive(self) -> None:
        self._check_alive()

    def check(self) -> None:
        sequences = self._sequences
        for layer, other in self._in_step:
            sequences.bring_in_step(layer, other)
        read: dict[int, list[int]] = {}
        checked = []
        for layer, calls in self._added.items():
            lengths = sequences.lengths_of(layer)
            for call in calls:
                lengths = sequences.after(lengths, call.of(read))
            sequences.check_room(layer, lengths)
            checked.append((layer, lengths))
        self._checked = checked
        # Layers in step have the same object.
        self._lengths = list(dict.fromkeys(lengths for _, lengths in checked))
        sequences.check_pages(self._lengths)

    def prepare(self) -> None:
        for calls in self._added.values():
            for call in calls:
                if call.write is not None:
                    call.write()

    def count(self) -> None:
        self._was_written()
        self._sequences.reserve(self._lengths)
        for layer, lengths in self._checked:
            self._sequences.commit(layer, lengths)

    def _add(self, state: LayerState, plan: str, tokens: _RecordedTokens) -> bool:
        calls = self._added.setdefault(state.index, [])
        calls.append(tokens)
        step = (plan, *(call.key for call in calls))
        planner = self._planners[step] if self._planned.get(plan) == step else state.index
        plans = planner == state.index or not self._sequences.are_in_step(planner, state.index)
        if plans:
            self._planned[plan] = step
            self._planners[step] = state.index
            if plan == "one":
                self._planned.pop("packed", None)
        else:
            self._in_step.append((state.index, planner))
        self.last_written = state.layout.layer
        return plans
