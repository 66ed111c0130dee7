"""A step of the whole model that is run many times over the same memory: replayed from a CUDA
graph, or run anew where there is no GPU.

`generate` could compile the model with `torch.compile` itself (`is_compileable` caches). That would
trace the model again for each shape, take minutes for large ones, and capture through its own
graphs, whose replays nobody counts for sessions. Here the model's own forward is captured as it is,
by `Session.graph`, in the time of a few steps."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from ..capture import CapturedStep
from ..session import Session
from .cache import MoaCache

# Runs the model's forward over static memory. Returns logits.
Run = Callable[[MoaCache], torch.Tensor]


class StepGraph(Protocol):
    """A step that was made for one session and one shape."""

    def run(self, cache: MoaCache) -> torch.Tensor:
        """One step. Returns logits in memory that the next run overwrites.

        Where it raises MOA6101 or MOA6109, nothing was launched or counted.
        """


# Makes the graph of a step.
MakeGraph = Callable[[Session, Run], StepGraph]


class EagerStep:
    """Without a graph: for the emulator, whose captures hold launches of sessions alone."""

    def __init__(self, session: Session, run: Run) -> None:
        self._run = run

    def run(self, cache: MoaCache) -> torch.Tensor:
        with torch.no_grad():
            return self._run(cache)


class CudaStep:
    """A CUDA graph. The first step runs without: libraries set up their memory in it, and a model
    that waits for the device in its forward shows that it cannot be captured."""

    # One capture at a time in a process (torch).
    _lock = threading.Lock()

    def __init__(self, session: Session, run: Run) -> None:
        self._session, self._run = session, run
        self._is_warm, self._is_eager = False, False
        self._step: CapturedStep | None = None
        self._logits: torch.Tensor | None = None

    @property
    def is_captured(self) -> bool:
        return self._step is not None

    def run(self, cache: MoaCache) -> torch.Tensor:
        # What is captured outlives an inference mode that it was captured in.
        with torch.inference_mode(False), torch.no_grad():
            if not self._is_warm:
                with _noting_waits() as waits:
                    logits = self._run(cache)
                self._is_warm = True
                if waits:
                    self._stay_eager(f"its forward waits for the device: {waits[0]}")
                return logits
            if self._step is None and not self._is_eager:
                self._capture(cache)
            if self._step is None or self._logits is None:
                return self._run(cache)
            self._step.replay()
            return self._logits

    def _capture(self, cache: MoaCache) -> None:
        """Captures the step. Where that fails, nothing was launched, and steps stay eager."""
        device = self._session.device
        try:
            with self._lock, torch.cuda.device(device):
                new_stream: Any = torch.cuda.Stream
                stream = new_stream(device)
                with self._session.graph(stream=stream, capture_error_mode="thread_local") as step:
                    logits = self._run(cache)
        except Exception as error:
            self._stay_eager(str(error))
            return
        self._step, self._logits = step, logits

    def _stay_eager(self, reason: str) -> None:
        self._is_eager = True
        message = f"steps of the model are not captured as CUDA graphs, and are slower: {reason}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


@contextmanager
def _noting_waits() -> Iterator[list[str]]:
    """In here, notes where torch makes the host wait for the device, which no capture survives."""
    waits: list[str] = []
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for each in caught:
        if "synchronizing CUDA operation" in str(each.message):
            waits.append(str(each.message))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def make_step_graph(session: Session, run: Run) -> StepGraph:
    """The graph of a step on the device of a session."""
    kind = CudaStep if session.device.type == "cuda" else EagerStep
    return kind(session, run)
