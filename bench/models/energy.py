"""Energy of a GPU while work runs: NVML's counter where Python can import it, else the power that
nvidia-smi reports.

Both change only every 20 to 100 ms. So the mean power is taken between changes within the work, and
multiplied by its time."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch

_EVERY: Final = 0.01


@dataclass
class Reading:
    """watts: None where the work was too short for two readings, or nothing reads them."""

    watts: float | None = None


class Meter(Protocol):
    """`source`: who says it, for results."""

    source: str | None

    def while_running(self) -> Any:
        """A context whose value is a `Reading`, complete when it ends."""


class NoMeter:
    source: str | None = None

    @contextmanager
    def while_running(self) -> Iterator[Reading]:
        yield Reading()


class CounterMeter:
    """A counter of millijoules."""

    source: str | None = "NVML total energy"

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read

    @contextmanager
    def while_running(self) -> Iterator[Reading]:
        reading, ended = Reading(), threading.Event()
        samples = [(time.perf_counter(), self._read())]

        def sample() -> None:
            while not ended.wait(_EVERY):
                samples.append((time.perf_counter(), self._read()))

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield reading
        finally:
            ended.set()
            thread.join()
            reading.watts = mean_watts(samples)


def mean_watts(samples: list[tuple[float, int]]) -> float | None:
    """From the first change of a counter of millijoules to its last one."""
    changes = [
        now for before, now in zip(samples, samples[1:], strict=False) if now[1] != before[1]
    ]
    if len(changes) < 2:
        return None
    (start, first), (end, last) = changes[0], changes[-1]
    return (last - first) / 1000 / (end - start)


class SmiMeter:
    """Samples of nvidia-smi's power.draw."""

    source: str | None = "nvidia-smi power.draw"

    def __init__(self, gpu: str) -> None:
        query = ["--query-gpu=power.draw", "--format=csv,noheader,nounits", "-lms", "50"]
        self._command = ["nvidia-smi", "-i", gpu, *query]

    @contextmanager
    def while_running(self) -> Iterator[Reading]:
        reading = Reading()
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        try:
            yield reading
        finally:
            process.terminate()
            output = process.communicate()[0]
            watts = [float(line) for line in output.split() if line.replace(".", "", 1).isdigit()]
            reading.watts = sum(watts) / len(watts) if watts else None


def meter_of(device: torch.device) -> Meter:
    """The best there is for a device."""
    if device.type != "cuda":
        return NoMeter()
    gpu = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return CounterMeter(lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)))
    except Exception:  # noqa: BLE001 - a missing module, an old driver, a GPU without the counter
        pass
    try:
        subprocess.run(["nvidia-smi", "-i", gpu, "-L"], check=True, capture_output=True, timeout=20)
        return SmiMeter(gpu)
    except (OSError, subprocess.SubprocessError):
        return NoMeter()
