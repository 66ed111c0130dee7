"""Timing of torch on a GPU, and results as JSON."""
import json
import math
import os
import statistics
import time

import torch


def replay_ms(run, repeats, warmup):
    """Milliseconds of each of `repeats` runs, by CUDA events."""
    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return times


def median_ms(run, repeats=20, warmup=5):
    return statistics.median(replay_ms(run, repeats, warmup))


def graph_times(run, repeats=20, warmup=3):
    """Milliseconds of each replay of a CUDA graph, so that launch overhead of the host does not count."""
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    times = replay_ms(graph.replay, repeats, warmup)
    graph.reset()
    return times


def rested_ms(call, sample_ms=40, samples=5, graphs=True):
    """
    Milliseconds of `call`: the median of samples of about `sample_ms` each, CUDA graphs of several calls where they can be captured. A GPU at work lowers its
    clock to stay within its power, so each sample begins after as long a rest: bench/lib/restedTimes.ts does the same.
    """
    for _ in range(2):
        call()
    once = replay_ms(call, 1, 1)[0]
    calls = max(1, min(8, math.ceil(2 / once))) if graphs else 1
    replays = max(1, round(sample_ms / (once * calls)))
    run, graph = call, None
    if graphs:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            for _ in range(calls):
                call()
        run = graph.replay

    def sample():
        for _ in range(replays):
            run()

    times = []
    for _ in range(samples):
        time.sleep(max(once * calls * replays, sample_ms) / 1000)
        times += replay_ms(sample, 1, 0)
    if graph is not None:
        graph.reset()
    return statistics.median(times) / (calls * replays)


def read_tbps():
    """The ceiling of memory: a plain sum of 4 GiB."""
    data = torch.empty(1 << 30, device="cuda", dtype=torch.float32).normal_()
    ms = median_ms(data.sum, 10)
    return data.numel() * 4 / ms / 1e9


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]


def write_json(path: str, value: object) -> None:
    """Whole or not at all: a program that is killed leaves what it wrote before."""
    with open(f"{path}.part", "w") as file:
        json.dump(value, file, indent=1)
    os.replace(f"{path}.part", path)
