"""Decode: each sequence brings one token, or several that may differ in number."""

from collections.abc import Sequence

import torch

from .call_checks import Tensors, check_counts, check_counts_tensor
from .errors import session_error
from .launches import Launches
from .sequences import Sequences
from .session_buffers import LayerState, SessionBuffers
from .session_effect import DecodeCounts, SessionEffect
from .step_plans import StepPlans
from .step_tokens import PlanName, StepTokens
from .words import describe, is_integer

# How many rows of each slot are tokens: numbers, or a tensor of int32 on the device; None for all.
Counts = Sequence[int] | torch.Tensor | None


class DecodeCalls:
    """Decodes of one session. `most`: new tokens of a sequence in one of them."""

    def __init__(
        self,
        sequences: Sequences,
        buffers: SessionBuffers,
        launches: Launches,
        plans: StepPlans,
        most: int,
    ) -> None:
        self._sequences, self._buffers = sequences, buffers
        self._launches, self._plans, self._most = launches, plans, most

    def check_tokens(self, tokens: int) -> None:
        """Raises MOA6111 for more new tokens of a sequence than the session decodes at once."""
        if not is_integer(tokens) or not 1 <= tokens <= self._most:
            message = f"decode of {describe(tokens)} tokens of each sequence"
            raise session_error(
                "tooManyTokens", f"{message}; the session decodes 1 to {self._most}"
            )

    def run(
        self,
        state: LayerState,
        tensors: Tensors,
        tokens: int,
        counts: Counts,
        effect: SessionEffect | None,
    ) -> None:
        """A decode, or the recording of one where a capture is under way."""
        given = (
            None if counts is None else self._counts_of(state, counts, tokens, effect is not None)
        )
        is_one = tokens == 1 and state.decode is not None and given is None
        plan: PlanName = "one" if is_one else "many"
        address, counted = (0, []) if given is None else (given.address, given.tensors)
        step = StepTokens(tokens, 0, address)
        layer = state.layout.layer
        if effect is not None:
            before = effect.last_written
            plans = effect.add_decode(state, plan, tokens, given)
            if plans:
                self._launches.step(state, step, plan, tokens, counted)
            early = not plans and before != layer
            self._launches.decode(state, tensors, plan, tokens, early, address, counted)
            return
        added = tokens if given is None or given.fixed is None else given.fixed
        lengths = self._sequences.after(self._sequences.lengths_of(state.index), added)
        self._sequences.check_room(state.index, lengths)
        self._sequences.check_pages([lengths])
        if given is not None and given.placed is not None:
            given.placed.write()
        self._plans.decode(state, lengths, plan, step, tokens, counted)
        early = self._plans.may_read_early(layer)
        self._launches.decode(state, tensors, plan, tokens, early, address, counted)
        self._plans.writes(layer)
        self._sequences.commit(state.index, lengths)

    def _counts_of(
        self, state: LayerState, counts: Sequence[int] | torch.Tensor, tokens: int, recorded: bool
    ) -> DecodeCounts:
        """Where the launches of a decode find its counts. What an eager one adds is known now; of a
        tensor that a graph reads, at each replay."""
        slots = self._sequences.slots
        if state.decode_many is None:
            raise session_error("tooManyTokens", "counts take a session with decode_tokens over 1")
        if isinstance(counts, torch.Tensor):
            check_counts_tensor(counts, slots, self._buffers.pool.tensor.device)
            # Waits for what was launched.
            fixed = None if recorded else check_counts(counts.flatten().tolist(), slots, tokens)
            return DecodeCounts(counts.data_ptr(), fixed, tensor=counts)
        known = check_counts(counts, slots, tokens)
        placed = self._buffers.fix_counts(known) if recorded else self._buffers.place_counts(known)
        return DecodeCounts(placed.buffer.address, known, placed)
