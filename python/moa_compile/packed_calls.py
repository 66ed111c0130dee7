"""Calls whose tensors hold the new tokens of all sequences one after the other: `prefill`, and
`step`, in which each sequence brings none, one or many. Sequences with one new token are decoded,
as far as the kernels append it themselves; the others have items of prefill."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .buffers import int32_bytes
from .call_checks import Tensors, check_cu_seqlens
from .definition import Definition, Kernel
from .device import Device
from .launches import Launches
from .layout import SessionLayout
from .new_tokens import NewTokens
from .prefill_workspace import PrefillNeeds, PrefillWorkspace, budget_needs, prefill_needs
from .sequences import Lengths, Sequences
from .session_buffers import LayerState, SessionBuffers
from .session_effect import SessionEffect
from .step_plans import PackedCall, StepPlans
from .step_tokens import PackedTokens

CuSeqlens = Sequence[int] | NewTokens


@dataclass(frozen=True)
class _Checked:
    """A call that was found legal, and what that depends on. Lengths are another object after any
    change of a sequence."""

    cu_seqlens: list[int]
    before: Lengths
    kernel: Kernel
    fewest: int
    call: PackedCall


class PackedCalls:
    """Packed calls of one session."""

    def __init__(
        self,
        device: Device,
        definition: Definition,
        layout: SessionLayout,
        buffers: SessionBuffers,
        sequences: Sequences,
        launches: Launches,
        plans: StepPlans,
    ) -> None:
        self._device, self._definition, self._layout = device, definition, layout
        self._buffers, self._sequences, self._launches, self._plans = (
            buffers,
            sequences,
            launches,
            plans,
        )
        self._checked: _Checked | None = None

    def checked(self, state: LayerState, given: CuSeqlens, is_step: bool) -> PackedCall | None:
        """The call before, where this one is the same in a layer that it holds for: what is found
        for the first layer of a step need not be found again for the others."""
        known = self._checked
        if (
            known is None
            or known.before is not self._sequences.lengths_of(state.index)
            or known.kernel is not state.prefill_kernel
            or known.fewest != _fewest(state, is_step)
        ):
            return None
        return known.call if type(given) is list and given == known.cu_seqlens else None

    def added_by(self, cu_seqlens: CuSeqlens, length_bound: int) -> list[int]:
        """New tokens of each slot, as the host knows them. Raises MOA6104 for numbers that are
        none."""
        if isinstance(cu_seqlens, NewTokens):
            return list(cu_seqlens.counts)
        ends = check_cu_seqlens(cu_seqlens, self._sequences.slots, length_bound)
        return [end - begin for begin, end in zip(ends, ends[1:], strict=False)]

    def call(
        self, state: LayerState, given: CuSeqlens, added: list[int], is_step: bool
    ) -> PackedCall:
        """A call with lengths that the host knows, found to fit the length bounds."""
        before = self._sequences.lengths_of(state.index)
        fewest = _fewest(state, is_step)
        brought = [
            (count, cached)
            for count, cached in zip(added, before.tokens, strict=True)
            if count >= fewest
        ]
        lengths = self._sequences.after(before, added)
        self._sequences.check_room(state.index, lengths)
        needs = prefill_needs(
            self._definition,
            state.prefill_kernel,
            self._device.multiprocessors,
            brought,
        )
        numbers = given if isinstance(given, NewTokens) else None
        device, own = self._device, self._buffers.buffers["cuSeqlens"]
        ends = [0, *itertools.accumulate(added)]

        def write() -> None:
            # Does not hold `self`, which may hold it.
            if numbers is None:
                device.write(own, int32_bytes(ends))

        call = PackedCall(
            rows=sum(added) if numbers is None else numbers.budget,
            cu_seqlens=own.address if numbers is None else numbers.address,
            workspace=self._launches.workspace if numbers is None else numbers.workspace,
            fewest=fewest,
            decodes=any(0 < count < fewest for count in added),
            prefills=len([count for count, _ in brought if count > 0]) > 0,
            needs=needs,
            lengths=lengths,
            write=write,
        )
        if numbers is None:
            self._checked = _Checked(ends, before, state.prefill_kernel, fewest, call)
        return call

    def _recorded(self, state: LayerState, numbers: NewTokens) -> PackedTokens:
        """A step that is recorded: of any numbers that `numbers` may hold."""
        fewest = _fewest(state, True)
        needs = self._needs_of(state, numbers.budget)
        prefills = needs.items > 0
        workspace = numbers.workspace
        return PackedTokens(
            numbers.budget, numbers.address, workspace, fewest, fewest > 1, prefills, needs
        )

    def new_tokens(self, states: Sequence[LayerState], budget: int) -> NewTokens:
        """Numbers for steps of so many tokens, and what those need."""
        slots = self._sequences.slots
        workspace = PrefillWorkspace(self._device, self._definition, self._layout.classes, slots)
        for state in states:
            needs = self._needs_of(state, budget)
            if needs.items == 0:
                continue
            workspace.for_items(needs)
            workspace.splits(needs.splits, state.prefill_kernel)
            if state.expand is not None:
                self._launches.workspace.pages()
        buffer = self._buffers.sizes.make(self._device, "cuSeqlens")
        self._device.fill(buffer, 0)
        return NewTokens(self._device, slots, budget, buffer, workspace)

    def run(self, state: LayerState, tensors: Tensors, call: PackedCall) -> None:
        """All launches. What they need is made first: when it raises, nothing was launched."""
        if not call.decodes and not call.prefills:
            return
        layer = state.layout.layer
        self._sequences.check_pages([call.lengths])
        self._plans.reserve_workspace(state, call)
        run = self.launches(state, tensors, call)
        self._plans.packed(state, call)
        run(self._plans.may_read_early(layer))
        self._plans.writes(layer)
        self._sequences.commit(state.index, call.lengths)

    def record(
        self, state: LayerState, tensors: Tensors, numbers: NewTokens, effect: SessionEffect
    ) -> None:
        """A step in a capture, of any numbers that `numbers` may hold."""
        call = self._recorded(state, numbers)
        run = self.launches(state, tensors, call)
        before = effect.last_written
        plans = effect.add_step(state, numbers)
        if plans:
            self._plans.launch_packed(state, call)
        run(not plans and before != state.layout.layer)

    def launches(
        self, state: LayerState, tensors: Tensors, tokens: PackedTokens
    ) -> Callable[[bool], None]:
        """The launches of a call behind its plan, as a function that launches them. Its argument:
        whether the launch before wrote nothing of the layer."""
        launches, rows, ends, fewest = self._launches, tokens.rows, tokens.cu_seqlens, tokens.fewest
        attend = launches.prefill(state, tensors, tokens) if tokens.prefills else None

        def run(early: bool) -> None:
            if tokens.decodes:
                launches.decode_packed(state, tensors, ends, early)
            if attend is None:
                return
            if tokens.needs.goes_on:
                # New tokens may take the place of those that they attend, so they are written last;
                # RoPE turns them first.
                launches.append(state, tensors, rows, ends, fewest=fewest, only_rotate=True)
                attend()
                launches.append(state, tensors, rows, ends, fewest=fewest, rotated=True)
            else:
                launches.append(state, tensors, rows, ends, fewest=fewest)
                attend()

        return run

    def _needs_of(self, state: LayerState, budget: int) -> PrefillNeeds:
        """What any step of so many tokens needs at most."""
        multiprocessors, slots = self._device.multiprocessors, self._sequences.slots
        fewest = _fewest(state, True)
        return budget_needs(
            self._definition, state.prefill_kernel, multiprocessors, budget, fewest, slots
        )


def _fewest(state: LayerState, is_step: bool) -> int:
    """Sequences with fewer new tokens have no items: decode appends one token itself, where its
    kernel can."""
    return 2 if is_step and state.decode is not None else 1
