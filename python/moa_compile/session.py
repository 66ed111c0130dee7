"""A session: the KV cache of sequences in slots on one device, and the launches that fill and read
it.

All state that changes from step to step lies in device memory; the host mirrors lengths only to
refuse what would not fit. It plans nothing. docs/runtime.md says what each call means; Node's
`Session` is the same over buffers.
"""

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch

from .call_checks import Tensors, check_tensors
from .capture import CapturedStep, check_not_capturing, record_graph, recording_on
from .errors import session_error
from .new_tokens import NewTokens
from .packed_calls import CuSeqlens
from .session_base import SessionBase, SessionUsage
from .session_buffers import LayerState
from .session_effect import SessionEffect
from .session_options import bad_options
from .step_plans import PackedCall
from .words import describe, is_integer

__all__ = ["Session", "SessionUsage"]


class Session(SessionBase):
    """Made by `Package.session`.

    slots, length_bound: as it was made. dtype: of q, k, v, out and the cache. memory: bytes on the
    device.
    handle: its number for the operators of `moa_compile.ops`.
    order: `[1]` int64 on the device, which those name as written, so that compilers keep their
    order.
    """

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
        self._packed.record(state, tensors, cu_seqlens, effect)

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
        self._decodes.check_tokens(tokens)
        self._check_tensors(tensors, self.slots * tokens)
        if self.slots > 0:
            self._decodes.run(state, tensors, tokens, counts, self._effect())

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
        # Frames of an error that somebody keeps may hold parts of the session: no memory, though.
        self._buffers.free()
        self._buffers = None
        self._launches.workspace.free()
        for numbers in self._numbers.values():
            numbers.free()
        del self._launches, self._packed, self._decodes, self._plans
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

    def _packed_call(
        self, state: LayerState, tensors: Tensors, cu_seqlens: CuSeqlens, is_step: bool
    ) -> PackedCall:
        """A packed call, when it is legal."""
        known = self._packed.checked(state, cu_seqlens, is_step)
        if known is not None:
            self._check_tensors(tensors, known.rows)
            return known
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
