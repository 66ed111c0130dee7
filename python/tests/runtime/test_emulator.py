"""The emulator's memory: what a collector frees while a launch looks at it."""

import gc
import unittest
from typing import Any

import moa_compile


class _Cycle:
    """Freed by the collector alone."""

    def __init__(self, held: Any) -> None:
        self.held, self.own = held, self


class Memory(unittest.TestCase):
    def test_a_collector_may_run_while_the_memory_of_a_launch_is_listed(self) -> None:
        emulator = moa_compile.Emulator()
        held = [emulator.allocate(64) for _ in range(40)]
        usual = gc.get_threshold()
        for later in (4, 12, 30):
            gc.disable()
            for _ in range(40):
                _Cycle(emulator.allocate(64))
            try:
                # The collector runs at the object with this number from here on.
                gc.set_threshold(gc.get_count()[0] + later)
                gc.enable()
                emulator._allocations([])
            finally:
                gc.enable()
                gc.set_threshold(*usual)
            gc.collect()
            self.assertEqual(emulator._allocations([])[1], len(held))


if __name__ == "__main__":
    unittest.main()
