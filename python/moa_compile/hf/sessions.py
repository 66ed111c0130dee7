"""Sessions of an attached model: made when one is needed, kept for those who need one that is no
larger."""

import threading
import traceback
from collections.abc import Callable

import torch

from ..errors import CODES, MoaError
from ..package import DeviceOption, Package
from ..session import Session
from ..session_options import Table

# Length bounds of sessions are rounded up to so many tokens, so that a little longer generations
# fit. Sequences have their own bounds.
_BOUND_STEP = 256


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had too little memory: for a session (MOA6006), or for torch."""
    if isinstance(error, MoaError):
        return error.code == CODES["outOfMemory"]
    return isinstance(error, torch.OutOfMemoryError)


def forget_frames(error: BaseException) -> None:
    """Whoever keeps the error (a notebook keeps the last one) keeps no tensors of frames that it
    has passed: activations, workspace."""
    traceback.clear_frames(error.__traceback__)


class SessionPool:
    """Sessions of one model that nobody uses now, and how to make another.

    on_close: called for a session that is freed, which others may have captured steps of.
    """

    on_close: Callable[[Session], None] | None = None

    def __init__(
        self,
        package: Package,
        device: DeviceOption,
        dtype: torch.dtype,
        sink_logits: Table | None,
        cache_scales: tuple[Table, Table] | None,
    ) -> None:
        self.package, self.dtype = package, dtype
        self._device, self._sink_logits, self._cache_scales = device, sink_logits, cache_scales
        # Reentrant: a collector may run `give` in the middle of `take`.
        self._lock = threading.RLock()
        self._idle: list[Session] = []
        self._used: list[Session] = []
        self._is_open = True

    @property
    def idle(self) -> int:
        """Sessions that are kept and not used."""
        return len(self._idle)

    @property
    def used(self) -> int:
        """Sessions that caches hold."""
        return len(self._used)

    def take(self, slots: int, length_bound: int) -> Session:
        """A session without sequences, of at least so many slots and tokens: the smallest one that
        is kept, or a new one; then those that are kept are freed first."""
        with self._lock:
            fitting = [
                each
                for each in self._idle
                if each.slots >= slots and each.length_bound >= length_bound
            ]
            if fitting:
                session = min(fitting, key=lambda each: each.memory.total)
                self._idle.remove(session)
                # Here and not in `give`, which runs wherever a cache is collected: this launches.
                for slot, bound in enumerate(session.length_bounds()):
                    if bound > 0:
                        session.remove(slot)
            else:
                self._close_idle()
                session = self.make(slots, -(-length_bound // _BOUND_STEP) * _BOUND_STEP)
            self._used.append(session)
            return session

    def give(self, session: Session) -> None:
        """Takes back a session, with whatever it holds. Launches nothing."""
        with self._lock:
            if session in self._used:
                self._used.remove(session)
                self._idle.append(session)

    def discard(self, session: Session) -> None:
        """Frees a session that is used."""
        with self._lock:
            if session in self._used:
                self._used.remove(session)
                self._close(session)

    def release(self) -> None:
        """Frees the sessions that nobody uses."""
        with self._lock:
            self._close_idle()

    def close(self) -> None:
        """Frees all sessions, those of living caches too."""
        with self._lock:
            self._idle += self._used
            self._used.clear()
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._close(self._idle.pop())

    def _close(self, session: Session) -> None:
        if self.on_close is not None:
            self.on_close(session)
        session.close()

    def make(self, slots: int, length_bound: int, pages: int | None = None) -> Session:
        """A session of this model without sequences, which the caller closes. Where memory is
        short, sessions that nobody uses are freed."""
        try:
            return self._make(slots, length_bound, pages)
        except MoaError as error:
            if not is_out_of_memory(error) or not self._idle:
                raise
        self.release()
        return self._make(slots, length_bound, pages)

    def _make(self, slots: int, length_bound: int, pages: int | None) -> Session:
        return self.package.session(
            slots=slots,
            length_bound=length_bound,
            pages=pages,
            dtype=self.dtype,
            device=self._device,
            rope="none",
            slots_free=True,
            sink_logits=self._sink_logits,
            cache_scales=self._cache_scales,
        )
