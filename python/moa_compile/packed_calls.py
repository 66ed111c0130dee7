"""Calls whose tensors hold the new tokens of all sequences one after the other: `prefill`, and
`step`, in which each sequence brings none, one or many. Sequences with one new token are decoded,
as far as the kernels append it themselves; the others have items of prefill."""

from collections.abc import Callable, Sequence

from .buffers import int32_bytes
from .call_checks import Tensors, check_cu_seqlens
from .definition import Definition
from .device import Device
from .launches import Launches
from .layout import SessionLayout
from .new_tokens import NewTokens
from .prefill_workspace import PrefillNeeds, PrefillWorkspace, budget_needs, prefill_needs
from .sequences import Sequences
from .session_buffers import LayerState, SessionBuffers
from .session_effect import SessionEffect
from .step_plans import PackedCall, StepPlans
from .step_tokens import PackedTokens

CuSeqlens = Sequence[int] | NewTokens


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
        own = self._buffers.buffers["cuSeqlens"]

        def write() -> None:
            if numbers is None:
                ends = [0]
                for count in added:
                    ends.append(ends[-1] + count)
                self._device.write(own, int32_bytes(ends))

        return PackedCall(
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
