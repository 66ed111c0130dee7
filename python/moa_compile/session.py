"""A session: the KV cache of sequences in slots on one device, and the launches that fill and read
it.

All state that changes from step to step lies in device memory; the host mirrors lengths only to
refuse what would not fit. It plans nothing. docs/runtime.md says what each call means; Node's
`Session` is the same over buffers.
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

import torch

from .call_checks import Tensors, check_counts, check_counts_tensor, check_tensors
from .capture import CapturedStep, check_not_capturing, record_graph, recording_on
from .definition import Definition
from .device import Device, FoundKernel
from .errors import session_error
from .launches import Launches, PlanName, StepTokens
from .layout import layout_session, ring_pages_in_use
from .new_tokens import NewTokens
from .packed_calls import CuSeqlens, PackedCalls
from .page_accounts import PageAccounts
from .page_counts import PageCounts
from .prefill_workspace import PrefillWorkspace
from .sequences import Sequences
from .session_buffers import FindKernel, LayerState, SessionBuffers
from .session_effect import DecodeCounts, SessionEffect, counts_of_tensor
from .session_memory import SessionMemory, session_memory
from .session_options import TORCH_TYPES, SessionOptions, bad_options
from .step_plans import PackedCall, StepPlans
from .words import describe, is_integer, ranges

_handles = itertools.count(1)
# Sessions by the numbers that operators of torch.library know them by.
sessions: "WeakValueDictionary[int, Session]" = WeakValueDictionary()


@dataclass(frozen=True)
class SessionUsage:
    """Pages of a session's pool: those that sequences hold, those of them that several hold, and
    those that are free.

    Where pages are shared, `held` and `shared` are at most what is so, and `free` at least.
    """

    pages: int
    page_bytes: int
    held: int
    shared: int
    free: int


class Session:
    """Made by `Package.session`.

    slots, length_bound: as it was made. dtype: of q, k, v, out and the cache. memory: bytes on the
    device.
    handle: its number for the operators of `moa_compile.ops`.
    order: `[1]` int64 on the device, which those name as written, so that compilers keep their
    order.
    """

    def __init__(
        self,
        device: Device,
        definition: Definition,
        options: SessionOptions,
        find: FindKernel,
        planners: Mapping[str, FoundKernel],
    ) -> None:
        self.slots, self.length_bound = options.slots, options.length_bound
        self.dtype = TORCH_TYPES[options.element_type]
        self.device = device.torch_device
        self._device, self._definition, self._decode_tokens = (
            device,
            definition,
            options.decode_tokens,
        )
        layout = layout_session(definition, options.slots, options.length_bound, options.layers)
        self._buffers: SessionBuffers | None = SessionBuffers(
            device, definition, layout, options, find
        )
        buffers = self._buffers
        self._layers = buffers.layers
        self._pages = layout.entries if options.pages is None else options.pages
        counts = PageCounts(layout, definition["layout"]["pageTokens"])
        self._sequences = Sequences(
            layout, PageAccounts(counts, self._pages, options.slots), options.slots
        )
        workspace = PrefillWorkspace(device, definition, layout.classes, options.slots)
        self._launches = Launches(device, definition, buffers, options, planners, workspace)
        self._plans = StepPlans(self._launches, self._sequences)
        self._packed = PackedCalls(
            device, definition, layout, buffers, self._sequences, self._launches, self._plans
        )
        self._numbers: WeakValueDictionary[int, NewTokens] = WeakValueDictionary()
        self.memory: SessionMemory = session_memory(
            definition,
            options.slots,
            options.length_bound,
            options.pages,
            options.layers,
            buffers.table_bytes,
            buffers.partials.bytes,
        )
        self.handle = next(_handles)
        self.order = torch.zeros(1, dtype=torch.int64, device=self.device)
        sessions[self.handle] = self
        self._launches.change_sequence("begin", 0, value=self._pages)
        if not options.slots_free:
            for _ in range(options.slots):
                self.add()

    # What the host knows

    def lengths(self, layer: int) -> list[int]:
        """Tokens of each slot's sequence in the cache of a layer; -1 for a free slot."""
        return list(self._sequences.lengths_of(self._layer(layer).index).tokens)

    def length_bounds(self) -> list[int]:
        """The length bound of each slot's sequence; 0 for a free slot."""
        self._check_open()
        return list(self._sequences.bounds)

    def windows(self, layer: int, slot: int = 0) -> list[int]:
        """The window in tokens of each query head of a layer, for the sequence in a slot; those of
        `length_bound` for a free slot."""
        return self._layer(layer).layout.layer_class.windows(
            self._sequences.bounds[slot] or self.length_bound
        )

    def pages_in_use(self, layer: int) -> int:
        """Pages of a layer that hold a token now, over all sequences: what decode reads."""
        state = self._layer(layer)
        page_tokens, pages = self._definition["layout"]["pageTokens"], 0
        tokens = self._sequences.lengths_of(state.index).tokens
        for length, bound in zip(tokens, self._sequences.bounds, strict=True):
            for ring in state.layout.layer_class.rings(bound or self.length_bound):
                pages += len(ring.kv_heads) * ring_pages_in_use(
                    length, ring.window, ring.sink, page_tokens
                )
        return pages

    def usage(self) -> SessionUsage:
        """Pages of the pool. From lengths and forks alone, without asking the device."""
        self._check_open()
        accounts = self._sequences.accounts
        held = accounts.held
        page_bytes = self._definition["layout"]["pageBytes"]
        return SessionUsage(self._pages, page_bytes, held, accounts.shared, self._pages - held)

    # Sequences

    def add(self, *, length_bound: int | None = None) -> int:
        """Begins an empty sequence in the first free slot, and returns the slot. It takes pages as
        tokens come.

        length_bound: the most tokens that it will hold; its windows follow from that. The session's
        by default. Raises MOA6108 without a free slot.
        """
        self._check_changeable("add")
        bound = self.length_bound if length_bound is None else length_bound
        if not is_integer(bound) or not 1 <= bound <= self.length_bound:
            message = f"in this session it is an integer from 1 to {self.length_bound} tokens"
            raise bad_options(f"length_bound is {describe(bound)}; {message}")
        slot = self._sequences.first_free()
        self._launches.change_sequence("add", slot, value=bound)
        self._sequences.add(slot, bound)
        self._plans.forget()
        return slot

    def remove(self, slot: int) -> None:
        """Ends the sequence in a slot: pages that it alone holds are free. Raises MOA6107."""
        self._check_changeable("remove")
        self._sequences.check_held(slot)
        self._launches.change_sequence("remove", slot)
        self._sequences.remove(slot)
        self._plans.forget()

    def fork(self, slot: int) -> int:
        """Begins a sequence in the first free slot that is what the one in `slot` is, and returns
        that. Both hold the same pages; a step that writes into one of them has it copied first.

        Raises MOA6107, MOA6108 without a free slot, MOA6114 in the middle of a step.
        """
        self._check_changeable("fork")
        self._sequences.check_held(slot)
        self._sequences.check_between_steps(slot)
        to = self._sequences.first_free()
        self._launches.change_sequence("fork", slot, other=to)
        self._sequences.fork(slot, to)
        self._plans.forget()
        return to

    def truncate(self, slot: int, length: int) -> None:
        """Takes back the newest tokens of the sequence in a slot, in all layers, so that it has
        `length` tokens.

        Raises MOA6107, and MOA6110 where a ring has lost a token that the next one attends; nothing
        changes then.
        """
        self._check_changeable("truncate")
        self._sequences.check_held(slot)
        if not is_integer(length) or length < 0:
            raise session_error(
                "cannotTruncate", f"a sequence cannot have {describe(length)} tokens"
            )
        self._sequences.truncate(slot, length)
        self._launches.change_sequence("truncate", slot, value=length)
        self._plans.forget()

    def reset(self) -> None:
        """Forgets all tokens; sequences stay, empty."""
        self._check_changeable("reset")
        for slot, bound in enumerate(self._sequences.bounds):
            if bound > 0:
                self._launches.change_sequence("truncate", slot)
        self._sequences.fill_all(0)
        self._plans.forget()

    # Tokens

    def prefill(
        self,
        layer: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        *,
        cu_seqlens: Sequence[int],
        lse: torch.Tensor | None = None,
    ) -> None:
        """Attends the new tokens of all sequences, and puts their keys and values into the cache of
        a layer. One that holds tokens goes on behind them. Where the session has RoPE, q and k are
        rotated in place.

        q, out: `[tokens, query heads, head dim]`; k, v: `[tokens, KV heads, head dim]`; lse:
        `[tokens, query heads]` float32, natural logarithm; written.
        cu_seqlens: slots + 1 integers: where each sequence begins in the packed tensors, and the
        end. Raises MOA6101, MOA6102, MOA6103, MOA6104, MOA6107, MOA6109, and MOA6011 in a capture.
        """
        state, tensors = self._layer(layer), Tensors(q, k, v, out, lse)
        call = self._packed_call(state, tensors, cu_seqlens, False)
        if recording_on(self._device) is not None:
            message = "prefill of lengths that the host knows cannot be captured; step can"
            raise session_error("capture", message)
        self._packed.run(state, tensors, call)

    def step(
        self,
        layer: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        *,
        cu_seqlens: CuSeqlens,
        lse: torch.Tensor | None = None,
    ) -> None:
        """A step in which each sequence brings any number of new tokens: none, one or many. With
        `new_tokens` as `cu_seqlens` it may be captured: then tensors have as many rows as their
        budget. Otherwise as `prefill`.

        q and k of sequences with several new tokens are rotated in place.
        """
        state, tensors = self._layer(layer), Tensors(q, k, v, out, lse)
        effect = self._effect()
        if isinstance(cu_seqlens, NewTokens):
            self.new_tokens_of(cu_seqlens.handle)
        if effect is None:
            self._packed.run(state, tensors, self._packed_call(state, tensors, cu_seqlens, True))
            return
        if not isinstance(cu_seqlens, NewTokens):
            message = "a step is captured with numbers on the device: those of new_tokens"
            raise session_error("capture", message)
        self._check_tensors(tensors, cu_seqlens.budget)
        call = self._packed.recorded(state, cu_seqlens)
        run = self._packed.launches(state, tensors, call)
        before = effect.last_written
        plans = effect.add_step(state, cu_seqlens)
        if plans:
            self._plans.launch_packed(state, call)
        run(not plans and before != layer)

    def new_tokens(self, *, budget: int) -> NewTokens:
        """Numbers of new tokens that lie on the device, for `step`. Allocates work lists for steps
        of `budget` tokens, the most of all sequences in a step."""
        self._check_changeable("new_tokens")
        if not is_integer(budget) or not 1 <= budget <= 2**24:
            raise bad_options(
                f"budget is {describe(budget)}; it is an integer from 1 to 2^24 tokens"
            )
        numbers = self._packed.new_tokens(list(self._layers.values()), budget)
        self._numbers[numbers.handle] = numbers
        return numbers

    def new_tokens_of(self, handle: int) -> NewTokens:
        """Those of `new_tokens` of this number. Raises MOA6104 for none of this session."""
        numbers = self._numbers.get(handle)
        if numbers is None:
            raise session_error("badCuSeqlens", "cu_seqlens are new tokens of another session")
        return numbers

    def decode_appends(self, layer: int) -> bool:
        """Whether decode of one token of a layer appends it in the same launch, and leaves q and k
        as they are."""
        return self._layer(layer).decode is not None

    def decode(
        self,
        layer: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        *,
        lse: torch.Tensor | None = None,
        tokens: int = 1,
        counts: Sequence[int] | torch.Tensor | None = None,
    ) -> None:
        """Appends one token to every sequence in the cache of a layer, or `tokens`, then attends: a
        new token attends itself and those before it. Rows of free slots are ignored; theirs of
        `out` become 0, of `lse` -inf.

        q, out: `[slots, tokens, query heads, head dim]`; k, v: `[slots, tokens, KV heads, head
        dim]`; lse: `[slots, tokens, query heads]` float32. With several tokens q and k are rotated
        in place.
        counts: how many rows of each slot are tokens: a list, or a tensor of int32 on the device,
        which is also read by the host, and waits for what was launched. Raises MOA6101, MOA6102,
        MOA6103, MOA6109, MOA6111, MOA6113.
        """
        state, tensors = self._layer(layer), Tensors(q, k, v, out, lse)
        if not is_integer(tokens) or not 1 <= tokens <= self._decode_tokens:
            message = (
                f"decode of {describe(tokens)} tokens of each sequence; the session decodes 1 to "
                f"{self._decode_tokens}"
            )
            raise session_error("tooManyTokens", message)
        self._check_tensors(tensors, self.slots * tokens)
        if self.slots == 0:
            return
        effect = self._effect()
        given = (
            None if counts is None else self._counts_of(state, counts, tokens, effect is not None)
        )
        plan: PlanName = (
            "one" if tokens == 1 and state.decode is not None and given is None else "many"
        )
        address, counted = (0, []) if given is None else (given.address, given.tensors)
        step = StepTokens(tokens, 0, address)
        if effect is not None:
            before = effect.last_written
            plans = effect.add_decode(state, plan, tokens, given)
            if plans:
                self._launches.step(state, step, plan, tokens, counted)
            self._launches.decode(
                state, tensors, plan, tokens, not plans and before != layer, address, counted
            )
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

    # Captures

    def graph(
        self, graph: torch.cuda.CUDAGraph | None = None, **options: Any
    ) -> contextlib.AbstractContextManager[CapturedStep]:
        """Captures calls of `decode` and `step` in a `with` block, of this session and of others on
        the device, and all
        else that torch launches there: `with session.graph() as step: ...`, then `step.replay()`
        for each step.

        On a GPU the block is one of `torch.cuda.graph(graph, **options)`; within a
        `torch.cuda.graph(graph)` of your own pass the same graph. The emulator records the launches
        of sessions alone. Nothing is counted when it is recorded.
        """
        self._check_open()
        return record_graph(self._device, graph, options)

    def close(self) -> None:
        """Frees the cache. Every other call raises MOA6005 afterwards, and so does a replay of a
        graph with this session."""
        if self._buffers is None:
            return
        check_not_capturing(self._device, "close")
        self._buffers = None
        del self._launches, self._packed, self._plans
        self._layers = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _counts_of(
        self, state: LayerState, counts: Sequence[int] | torch.Tensor, tokens: int, recorded: bool
    ) -> DecodeCounts:
        """Where the launches of a decode find its counts. What an eager one adds is known now; of a
        tensor that a graph reads, at each replay."""
        buffers = self._buffers
        assert buffers is not None, "internal error: the session is open"
        if state.decode_many is None:
            raise session_error("tooManyTokens", "counts take a session with decode_tokens over 1")
        if isinstance(counts, torch.Tensor):
            check_counts_tensor(counts, self.slots, self.device)
            fixed = None if recorded else list(counts_of_tensor(counts, self.slots, tokens))
            return DecodeCounts(counts.data_ptr(), fixed, tensor=counts)
        known = check_counts(counts, self.slots, tokens)
        placed = buffers.fix_counts(known) if recorded else buffers.place_counts(known)
        return DecodeCounts(placed.buffer.address, known, placed)

    def _packed_call(
        self, state: LayerState, tensors: Tensors, cu_seqlens: CuSeqlens, is_step: bool
    ) -> PackedCall:
        """A packed call, when it is legal."""
        added = self._packed.added_by(cu_seqlens, self.length_bound)
        self._check_tensors(
            tensors, cu_seqlens.budget if isinstance(cu_seqlens, NewTokens) else sum(added)
        )
        self._sequences.check_added(added)
        return self._packed.call(state, cu_seqlens, added, is_step)

    def _check_tensors(self, tensors: Tensors, rows: int) -> None:
        check_tensors(tensors, self._definition["shape"], rows, self.dtype, self.device)

    def _effect(self) -> SessionEffect | None:
        """What the graph that is being captured does to this session; None where none is."""
        recording = recording_on(self._device)
        if recording is None:
            return None

        def make() -> SessionEffect:
            self._plans.forget()
            return SessionEffect(self._sequences, self._check_open, self._plans.forget)

        return recording.effect_of(self, make)

    def _check_changeable(self, call: str) -> None:
        self._check_open()
        check_not_capturing(self._device, call)

    def _layer(self, layer: int) -> LayerState:
        self._check_open()
        state = self._layers.get(layer)
        if state is None:
            message = (
                f"the session has no layer {describe(layer)}; it has layers "
                f"{ranges(list(self._layers))}"
            )
            raise session_error("noSuchLayer", message)
        return state

    def _check_open(self) -> None:
        if self._buffers is None:
            raise session_error("usedAfterDispose", "the session was used after it was closed")
