"""What a session is made of, what the host knows of it, and sequences that come and go."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch

from .capture import check_not_capturing
from .decode_calls import DecodeCalls
from .definition import Definition
from .device import Device, FoundKernel
from .errors import session_error
from .launches import Launches
from .layout import layout_session, ring_pages_in_use
from .new_tokens import NewTokens
from .packed_calls import PackedCalls
from .page_accounts import PageAccounts
from .page_counts import PageCounts
from .prefill_workspace import PrefillWorkspace
from .sequences import Sequences
from .session_buffers import FindKernel, LayerState, SessionBuffers
from .session_memory import SessionMemory, session_memory
from .session_options import TORCH_TYPES, SessionOptions, bad_options
from .step_plans import StepPlans
from .words import describe, is_integer, ranges

_handles = itertools.count(1)
# Sessions by the numbers that operators of torch.library know them by.
sessions: "WeakValueDictionary[int, SessionBase]" = WeakValueDictionary()


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


class SessionBase:
    """The part of a session that brings no tokens. `Session` says what its attributes are."""

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
        self._device, self._definition = device, definition
        layout = layout_session(definition, options.slots, options.length_bound, options.layers)
        buffers = SessionBuffers(device, definition, layout, options, find)
        self._buffers: SessionBuffers | None = buffers
        self._layers = buffers.layers
        self._pages = layout.entries if options.pages is None else options.pages
        counts = PageCounts(layout, definition["layout"]["pageTokens"])
        accounts = PageAccounts(counts, self._pages, options.slots)
        self._sequences = Sequences(layout, accounts, options.slots)
        workspace = PrefillWorkspace(device, definition, layout.classes, options.slots)
        self._launches = Launches(device, definition, buffers, options, planners, workspace)
        self._plans = StepPlans(self._launches, self._sequences)
        self._packed = PackedCalls(
            device, definition, layout, buffers, self._sequences, self._launches, self._plans
        )
        self._numbers: WeakValueDictionary[int, NewTokens] = WeakValueDictionary()
        self._decodes = DecodeCalls(
            self._sequences, buffers, self._launches, self._plans, options.decode_tokens
        )
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

    def pages_for(self, tokens: int, *, length_bound: int | None = None) -> int:
        """Pages that a sequence of so many tokens holds alone, over all layers. length_bound: its
        own; the session's by default."""
        self._check_open()
        bound = self.length_bound if length_bound is None else length_bound
        return self._sequences.accounts.pages_for(bound, tokens)

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
