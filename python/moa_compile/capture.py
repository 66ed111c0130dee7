"""Captured steps: CUDA graphs, and on the emulator lists of launches, whose replays count the
tokens of sessions."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import torch

from .device import Device
from .emulator import Emulator
from .errors import session_error


class GraphEffect(Protocol):
    """What a graph means for a session in it: what must hold before a replay, and what the host
    counts after it."""

    def check_alive(self) -> None:
        """Raises where the graph can never be replayed again."""

    def check(self) -> None:
        """Raises where it cannot be replayed now. Changes nothing."""

    def prepare(self) -> None:
        """Brings to the device what the launches read and only the host knows."""

    def count(self) -> None:
        """The graph was launched: the host's lengths follow."""


Effect = TypeVar("Effect", bound=GraphEffect)


class Recording:
    """A capture under way on a device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._effects: dict[object, Any] = {}

    def effect_of(self, owner: object, make: Callable[[], Effect]) -> Effect:
        """The effect on this session, made on its first call."""
        if owner not in self._effects:
            self._effects[owner] = make()
        effect: Effect = self._effects[owner]
        return effect

    @property
    def effects(self) -> list[GraphEffect]:
        return list(self._effects.values())


class _Current(threading.local):
    recording: Recording | None = None


_current = _Current()


def recording_on(device: Device) -> Recording | None:
    """The capture of this thread, where it is one of this device.

    Raises MOA6011 where torch captures a graph whose tokens nobody would count.
    """
    recording = _current.recording
    if recording is not None and recording.device is device:
        return recording
    if device.is_capturing():
        raise session_error(
            "capture",
            "torch captures a CUDA graph, and nobody would count the tokens of its replays: "
            "capture inside "
            "`with session.graph() as step`, or `session.graph(graph)` within "
            "torch.cuda.graph(graph)",
        )
    return None


def check_not_capturing(device: Device, call: str) -> None:
    """Raises MOA6011 in a capture: `call` changes memory of the device now."""
    if _current.recording is not None or device.is_capturing():
        raise session_error(
            "capture", f"{call} changes tables on the device and cannot be captured"
        )


class CapturedStep:
    """A step that was captured by `Session.graph`."""

    def __init__(self) -> None:
        self._start: Callable[[], None] | None = None
        self._effects: list[GraphEffect] = []

    def replay(self) -> None:
        """Starts all launches in order, and counts the tokens of every session in the graph.

        Raises, and then nothing was launched or counted for any of them: MOA6101 where a sequence
        would grow past its length bound, MOA6109 where a pool has too few pages, MOA6005 where a
        session was closed, MOA6011 in a capture.
        """
        if _current.recording is not None:
            raise session_error("capture", "replay: a graph cannot be launched inside a capture")
        if self._start is None:
            raise session_error(
                "capture", "replay: the capture has not ended, or its recording failed"
            )
        for effect in self._effects:
            effect.check_alive()
        for effect in self._effects:
            effect.check()
        for effect in self._effects:
            effect.prepare()
        self._start()
        for effect in self._effects:
            effect.count()


@contextlib.contextmanager
def record_graph(
    device: Device, graph: torch.cuda.CUDAGraph | None, options: dict[str, Any]
) -> Iterator[CapturedStep]:
    """Captures what is launched in the block (`Session.graph`)."""
    if _current.recording is not None:
        raise session_error("capture", "a capture is under way already")
    step = CapturedStep()
    recording = _current.recording = Recording(device)
    try:
        if isinstance(device, Emulator):
            with device.record() as replay:
                yield step
            start = replay
        elif device.is_capturing():
            if graph is None:
                raise session_error(
                    "capture", "torch captures already: pass the graph, as in session.graph(graph)"
                )
            yield step
            start = graph.replay
        else:
            made = torch.cuda.CUDAGraph() if graph is None else graph
            with torch.cuda.graph(made, **options):
                yield step
            start = made.replay
    finally:
        _current.recording = None
    step._start, step._effects = start, recording.effects
