"""Runs a function on several ranks, each a process of its own, over gloo."""

import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

# A collective that a rank never enters fails after so long.
_PATIENCE = 120


def run_ranks(count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(*arguments)` of a module returned on each rank."""
    with tempfile.TemporaryDirectory(prefix="moa-ranks-") as folder:
        given = (count, folder, function, arguments)
        torch.multiprocessing.spawn(_run, given, nprocs=count)
        return [torch.load(Path(folder, f"{rank}.pt")) for rank in range(count)]


def _run(
    rank: int, count: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    from datetime import timedelta

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count))
    store = dist.FileStore(f"{folder}/store", count)
    patience = timedelta(seconds=_PATIENCE)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=patience)
    try:
        torch.save(function(*arguments), Path(folder, f"{rank}.pt"))
        # A rank that ends closes connections that others still read from.
        dist.barrier()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        dist.destroy_process_group()
