"""Energy of a GPU while work runs: NVML's counter where Python can import it, else the power that
nvidia-smi reports.

Both change only every 20 to 100 ms. So the mean power is taken between changes within the work, and
multiplied by its time."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch

_EVERY: Final = 0.01
_PATIENCE: Final = 10.0


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
    """Samples of what nvidia-smi says of a GPU."""

    def __init__(self, gpu: str, field: str) -> None:
        self.source: str | None = f"nvidia-smi {field}"
        self._command = [*_smi(gpu, field), "-lms", "50"]

    @contextmanager
    def while_running(self) -> Iterator[Reading]:
        reading, samples, begun = Reading(), list[tuple[float, float]](), threading.Event()
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)

        def read() -> None:
            for line in process.stdout or ():
                with suppress(ValueError):
                    samples.append((time.perf_counter(), float(line)))
                    begun.set()

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            # It takes its time to begin.
            begun.wait(_PATIENCE)
            start = time.perf_counter()
            yield reading
            within = [watts for at, watts in samples if start <= at]
            reading.watts = sum(within) / len(within) if within else None
        finally:
            process.terminate()
            thread.join()
            process.wait()


def _smi(gpu: str, field: str) -> list[str]:
    query = [f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    return ["nvidia-smi", "-i", gpu, *query]


def _counter(gpu: str) -> CounterMeter | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return CounterMeter(lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)))
    except Exception:  # noqa: BLE001 - a missing module, an old driver, a GPU without the counter
        return None


def _sampler(gpu: str) -> SmiMeter | None:
    """Without `.instant` newer drivers give the mean of a second."""
    for field in ("power.draw.instant", "power.draw"):
        with suppress(OSError, ValueError, subprocess.SubprocessError):
            said = subprocess.run(
                _smi(gpu, field), check=True, capture_output=True, text=True, timeout=_PATIENCE
            )
            float(said.stdout)
            return SmiMeter(gpu, field)
    return None


def meter_of(device: torch.device) -> Meter:
    """The best there is for a device."""
    if device.type != "cuda":
        return NoMeter()
    number = str(torch.cuda.get_device_properties(device).uuid).removeprefix("GPU-")
    gpu = f"GPU-{number}"
    return _counter(gpu) or _sampler(gpu) or NoMeter()
