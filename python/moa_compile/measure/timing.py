"""Times of work on a device, and its peak memory."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from .energy import Meter


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(device: torch.device, work: Callable[[], object]) -> float:
    """By the clock of the host, from an idle device to an idle one."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def median_seconds(device: torch.device, work: Callable[[], object], times: int) -> float:
    return statistics.median(seconds_of(device, work) for _ in range(times))


def decode_facts(seconds: float, steps: int, rows: int) -> dict[str, Any]:
    """Of so many decode steps."""
    return {
        "steps": steps,
        "msPerStep": round(seconds / steps * 1e3, 4),
        "tokensPerSecond": round(steps * rows / seconds, 2),
    }


def energy_facts(meter: Meter, watts: float | None, tokens_per_second: float) -> dict[str, Any]:
    """Nothing where nothing was read."""
    if watts is None:
        return {}
    per_token = watts / tokens_per_second
    return {
        "watts": round(watts, 1),
        "joulesPerToken": round(per_token, 4),
        "energySource": meter.source,
    }


def reset_peak(device: torch.device) -> None:
    """Peak memory counts from now on, beginning with what is held."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def memory_facts(device: torch.device) -> dict[str, Any]:
    """peakGiB: tensors. deviceGiB: all that is taken of the GPU now, its context and what torch
    keeps for later included."""
    if device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(device)
    return {
        "peakGiB": round(torch.cuda.max_memory_allocated(device) / 2**30, 3),
        "deviceGiB": round((total - free) / 2**30, 3),
    }
