"""Runs functions on several ranks, each a process of its own, over gloo."""

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing

# A collective that a rank never enters fails after so long.
_PATIENCE = 120


_IMPORTS = ["tests.tp.runs", "tests.tp.refusals", "transformers.models.llama.modeling_llama"]
# A function of a module, and its arguments.
Call = tuple[Callable[..., Any], tuple[Any, ...]]


def run_ranks(count: int, calls: Mapping[str, Call]) -> dict[str, list[Any]]:
    """What each call, one after the other, returned on each rank."""
    with tempfile.TemporaryDirectory(prefix="moa-ranks-") as folder:
        # Ranks are forks of a process that has done nothing but import, which takes longest.
        multiprocessing.set_forkserver_preload(_IMPORTS)
        torch.multiprocessing.start_processes(
            _run, (count, folder, calls), nprocs=count, start_method="forkserver"
        )
        ranks = [torch.load(Path(folder, f"{rank}.pt")) for rank in range(count)]
    return {name: [rank[name] for rank in ranks] for name in calls}


def _run(rank: int, count: int, folder: str, calls: Mapping[str, Call]) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count))
    store = dist.FileStore(f"{folder}/store", count)
    patience = timedelta(seconds=_PATIENCE)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=patience)
    try:
        found = {name: function(*arguments) for name, (function, arguments) in calls.items()}
        torch.save(found, Path(folder, f"{rank}.pt"))
        # A rank that ends closes connections that others still read from.
        dist.barrier()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        dist.destroy_process_group()
