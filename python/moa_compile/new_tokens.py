"""How many tokens a step brings to each sequence, on the device: what a captured step reads."""

import itertools
from collections.abc import Sequence

import torch

from .buffers import int32_bytes
from .call_checks import check_entries
from .capture import check_not_capturing
from .device import Buffer, Device
from .errors import session_error
from .prefill_workspace import PrefillWorkspace
from .words import describe, is_integer

_handles = itertools.count(1)


class NewTokens:
    """New tokens of each slot for steps of one session (`Session.new_tokens`). Steps that were
    captured with it serve whatever numbers it holds when they are replayed.

    budget: the most tokens of all slots together: rows of the tensors of a step.
    handle: its number for the operators of `moa_compile.ops`.
    """

    def __init__(
        self, device: Device, slots: int, budget: int, buffer: Buffer, workspace: PrefillWorkspace
    ) -> None:
        self.budget = budget
        self.handle = next(_handles)
        self.workspace = workspace
        self.address = buffer.address
        self._device = device
        self._buffer: Buffer | None = buffer
        self._counts = [0] * slots

    @property
    def cu_seqlens(self) -> torch.Tensor:
        """`[slots + 1]` int32 on the device: the first row of each slot, and the end of the last
        one's. For kernels of your own to read."""
        return self._open_buffer().int32()

    @property
    def counts(self) -> tuple[int, ...]:
        """Tokens of each slot, as they were set last."""
        return tuple(self._counts)

    def set(self, counts: Sequence[int]) -> None:
        """Sets the tokens of each slot, together at most the budget; 0 for slots without a
        sequence.

        In the order of the stream, without waiting: launches before it had the numbers before.
        Raises MOA6113, and MOA6005 where the session was closed.
        """
        buffer = self._open_buffer()
        check_not_capturing(self._device, "set")
        ends = [0]
        for slot, count in enumerate(check_entries(counts, len(self._counts))):
            if not is_integer(count) or count < 0:
                raise session_error("badCounts", f"counts[{slot}] is {describe(count)}")
            ends.append(ends[-1] + count)
            if ends[-1] > self.budget:
                message = (
                    f"the counts up to slot {slot} are {ends[-1]} tokens together; the budget is "
                    f"{self.budget}"
                )
                raise session_error("badCounts", message)
        self._device.write(buffer, int32_bytes(ends))
        self._counts = list(counts)

    def free(self) -> None:
        """Frees its memory: the session is closed."""
        self._buffer = None
        self.workspace.free()

    def _open_buffer(self) -> Buffer:
        if self._buffer is None:
            raise session_error("usedAfterDispose", "new_tokens of a session that was closed")
        return self._buffer
