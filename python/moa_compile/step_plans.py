"""The plans of steps: what comes before the first layer of a step, once for all layers that have
the same lengths. A plan on the device stays good until other lengths come, or something else writes
the session's state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from .launches import Launches
from .sequences import Lengths, Sequences
from .session_buffers import LayerState
from .step_tokens import PackedTokens, PlanName, StepTokens


@dataclass(frozen=True)
class PackedCall(PackedTokens):
    """A packed call whose lengths the host knows. `lengths`: behind it. `write`: brings its numbers
    to the device where they do not lie there yet."""

    lengths: Lengths
    write: Callable[[], None]


class StepPlans:
    """Plans of one session."""

    def __init__(self, launches: Launches, sequences: Sequences) -> None:
        self._launches, self._sequences = launches, sequences
        # The lengths behind the step that the plans on the device are for, and what else they are
        # for.
        self._planned: dict[str, tuple[Lengths, object]] = {}
        self._packed_decodes = False
        # The layer whose state the last launch wrote; "all" where that is not known, or a plan was
        # made.
        self._last_written: int | Literal["all"] = "all"

    def reserve_workspace(self, state: LayerState, call: PackedCall) -> None:
        """Makes workspace for the work items of a packed call. Where that fails, nothing was
        launched."""
        if not call.prefills or self._is_planned("packed", call.lengths, _purpose(state, call)):
            return
        self._planned.pop("packed", None)
        call.workspace.for_items(call.needs)

    def packed(self, state: LayerState, call: PackedCall) -> None:
        """Of a packed call that has workspace: its numbers on the device, pages for the tokens, and
        what layers work on."""
        purpose = _purpose(state, call)
        if self._is_planned("packed", call.lengths, purpose):
            return
        call.write()
        self.launch_packed(state, call, lambda: self._sequences.reserve([call.lengths]))
        self._last_written = "all"
        self._planned["packed"] = call.lengths, purpose
        # Plans of decodes of one token have the same memory.
        self._packed_decodes = call.decodes
        if call.decodes:
            self._planned.pop("one", None)

    def launch_packed(
        self, state: LayerState, call: PackedTokens, taken: Callable[[], None] | None = None
    ) -> None:
        """The launches of such a plan, of numbers that lie on the device. `taken`: called when
        pages are."""
        self._launches.step(
            state, StepTokens(0, call.cu_seqlens, 0), "one" if call.decodes else None
        )
        if taken is not None:
            taken()
        if call.prefills:
            self._launches.plan_prefill(state, call)

    def decode(
        self,
        state: LayerState,
        lengths: Lengths,
        plan: PlanName,
        step: StepTokens,
        tokens: int,
        counts: Sequence[torch.Tensor],
    ) -> None:
        """Of a decode: pages for the tokens, and which block reads which."""
        purpose = (tokens, step.counts != 0)
        if self._is_planned(plan, lengths, purpose):
            return
        self._launches.step(state, step, plan, tokens, counts)
        self._sequences.reserve([lengths])
        self._last_written = "all"
        self._planned[plan] = lengths, purpose
        if plan == "one" and self._packed_decodes:
            self._planned.pop("packed", None)

    def may_read_early(self, layer: int) -> bool:
        """Whether the launch before wrote nothing that the next one of this layer reads, but new
        tokens."""
        return self._last_written not in (layer, "all")

    def writes(self, layer: int) -> None:
        """A launch writes this layer's state."""
        self._last_written = layer

    def forget(self) -> None:
        """The device's state, and its plans, are no longer what the session's last eager launch
        left."""
        self._planned.clear()
        self._last_written = "all"

    def _is_planned(self, name: str, lengths: Lengths, purpose: object) -> bool:
        planned = self._planned.get(name)
        return planned is not None and planned[0] is lengths and planned[1] == purpose


def _purpose(state: LayerState, call: PackedTokens) -> object:
    """What a packed call is planned for, besides lengths. Layers with different sinks have
    different kernels."""
    kernel = state.prefill_kernel
    return (
        kernel["rows"],
        kernel["blocksPerSm"],
        kernel["partialFloats"] > 0,
        call.fewest,
        call.cu_seqlens,
    )
