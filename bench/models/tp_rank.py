"""One rank of `bench.models.tp`, which starts it and says what it measures: RESULT.json and
CHECK.pt are rank 0's. Not called by hand."""

import argparse
import contextlib
import dataclasses
import gc
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import moa_compile

from .decode_loop import DecodeLoop
from .ours import fill_session
from .random_model import random_model
from .shapes import llama_config, shape_of

GIB = 1 << 30
# Activations, tables that grow, CUDA's and NCCL's own.
RESERVE = 4 * GIB
# Steps before those that are timed; of a capture none runs.
WARM = 3
CHECK_PROMPT, CHECK_NEW = 300, 12


class Rank:
    """Where this process runs, among how many."""

    def __init__(self, on: str) -> None:
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.is_gpu = on == "cuda"
        local = os.environ.get("LOCAL_RANK", "0")
        self.device = torch.device(f"cuda:{local}" if self.is_gpu else "cpu")
        if self.is_gpu:
            torch.cuda.set_device(self.device)
        if self.count > 1:
            # With the device NCCL connects at once, and not within a capture.
            device: dict[str, Any] = {"device_id": self.device} if self.is_gpu else {}
            dist.init_process_group("nccl" if self.is_gpu else "gloo", **device)

    def least(self, value: int) -> int:
        """Over all ranks."""
        if self.count == 1:
            return value
        found = torch.tensor([value], device=self.device)
        dist.all_reduce(found, op=dist.ReduceOp.MIN)
        return int(found)

    def are_equal(self, tensor: torch.Tensor) -> bool:
        """Whether all ranks have the same values."""
        if self.count == 1:
            return True
        each = [torch.empty_like(tensor) for _ in range(self.count)]
        dist.all_gather(each, tensor)
        return all(torch.equal(other, tensor) for other in each)

    def wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize()
        if self.count > 1:
            dist.barrier()


def check(model: Any, folder: Path, ranks: Rank) -> dict[str, torch.Tensor]:
    """Logits and greedy text of transformers' generate on the package, to be compared."""
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(3, model.config.vocab_size, (2, CHECK_PROMPT), generator=random)
    ids = ids.to(ranks.device)
    mask = torch.ones_like(ids)
    mask[1, : CHECK_PROMPT // 3] = 0
    attach = moa_compile.attach if ranks.count == 1 else moa_compile.attach_tensor_parallel
    attach(model, folder, length_bound=CHECK_PROMPT + CHECK_NEW)
    given = {"input_ids": ids, "attention_mask": mask}
    with torch.no_grad():
        logits = model(**given, use_cache=False).logits[:, -1].float()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    text = model.generate(**given, max_new_tokens=CHECK_NEW, do_sample=False)[:, CHECK_PROMPT:]
    moa_compile.detach(model)
    return {"logits": logits, "text": text}


def full_batch(
    package: moa_compile.Package, model: Any, bound: int, gib: float, ranks: Rank
) -> int:
    """The most sequences of `bound` tokens beside the weights."""
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    free = int(gib * GIB) - weights - RESERVE
    return ranks.least(max(0, free // package.memory(slots=1, length_bound=bound).total))


def throughput(
    loop: DecodeLoop, session: moa_compile.Session, steps: int, ranks: Rank
) -> list[float]:
    """Seconds of a step, of several runs of `steps`."""
    with torch.no_grad():
        for _ in range(WARM):
            loop.step()
        ranks.wait()
        replay, graph = loop.step, None
        if ranks.is_gpu:
            # Another thread asks for the state of NCCL's work meanwhile.
            with session.graph(capture_error_mode="thread_local") as graph:
                loop.step()
            replay = graph.replay
        times = []
        for _ in range(3):
            ranks.wait()
            begin = time.perf_counter()
            for _ in range(steps):
                replay()
            ranks.wait()
            times.append((time.perf_counter() - begin) / steps)
    # NCCL cannot end while a graph holds its launches.
    del replay, graph
    gc.collect()
    return times


def measure(arguments: argparse.Namespace, ranks: Rank) -> dict[str, Any]:
    config, folder = llama_config(arguments.model, arguments.small), Path(arguments.package)
    divided = folder if ranks.count > 1 else None
    whole = shape_of(arguments.model, arguments.small)
    # Heads of a rank: in every layer as many as of any other.
    own = dataclasses.replace(
        whole,
        query_heads=whole.query_heads // ranks.count,
        kv_heads=whole.kv_heads // ranks.count,
    )
    began = time.perf_counter()
    model = random_model(config, divided, ranks.rank, ranks.device, torch.bfloat16)
    row: dict[str, Any] = {"model": arguments.model, "ranks": ranks.count}
    row["seconds to make"] = round(time.perf_counter() - began, 1)
    checked = check(model, folder, ranks)
    same = all(ranks.are_equal(each) for each in checked.values())
    package = moa_compile.load(folder / f"rank{ranks.rank}" if divided else folder)
    row["rows"] = []
    for bound in arguments.lengths:
        batch = arguments.batch or full_batch(package, model, bound, arguments.gib, ranks)
        entry: dict[str, Any] = {"N": bound, "batch": batch}
        row["rows"].append(entry)
        if batch == 0:
            continue
        with (
            contextlib.closing(
                package.session(
                    slots=batch, length_bound=bound, dtype=torch.bfloat16, device=ranks.device
                )
            ) as session,
            torch.no_grad(),
        ):
            loop = DecodeLoop(model, session)
            fill_session(session, own, bound - WARM - 3 * arguments.steps)
            seconds = throughput(loop, session, arguments.steps, ranks)
            entry["cache GiB"] = round(session.memory.total / GIB, 2)
            entry["ms a step"] = [round(each * 1e3, 3) for each in seconds]
            entry["tokens/s"] = round(batch / statistics.median(seconds), 1)
            same = same and ranks.are_equal(loop.tokens)
        if ranks.is_gpu:
            entry["GiB at most"] = round(torch.cuda.max_memory_reserved() / GIB, 1)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    row["ranks agree"] = same
    if ranks.rank == 0:
        torch.save({name: each.cpu() for name, each in checked.items()}, arguments.check)
    return row


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--model", "--package", "--device", "--result", "--check"):
        parser.add_argument(name, required=True)
    parser.add_argument("--lengths", type=int, nargs="+", required=True)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--gib", type=float, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    ranks = Rank(arguments.device)
    row = measure(arguments, ranks)
    if ranks.rank == 0:
        Path(arguments.result).write_text(json.dumps(row))
    if ranks.count > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
