"""SIGINT and SIGTERM as an exception that comes between steps, not within one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

Shielded = Callable[[], AbstractContextManager[None]]


class Interrupted(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@contextmanager
def interruptible() -> Iterator[Shielded]:
    """SIGINT and SIGTERM raise Interrupted in here, but not within `shielded()`, which is what this
    gives: there they wait for its end."""
    waiting: list[int] = []
    depth = 0

    def handler(number: int, frame: FrameType | None) -> None:
        if depth:
            waiting.append(number)
        else:
            raise Interrupted(number)

    @contextmanager
    def shielded() -> Iterator[None]:
        nonlocal depth
        depth += 1
        try:
            yield
        finally:
            depth -= 1
        if waiting and depth == 0:
            raise Interrupted(waiting.pop())

    try:
        before = {
            number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # Not the main thread: signals are the caller's.
        yield nullcontext
        return
    try:
        yield shielded
    finally:
        for number, former in before.items():
            signal.signal(number, former)
