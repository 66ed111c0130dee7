"""Throughput of decode at full batch on one GPU and on several, with random weights.

    python3 -m bench.models.tp --packages DIR --out OUT.json [--models llama-3-8b vicuna-7b]
        [--ranks 1 2] [--lengths 8192] [--gib 70] [--steps 32]
    python3 -m bench.models.tp --device cpu --small --out OUT.json

DIR holds a package for each model and number of ranks, DIR/llama-3-8b and DIR/llama-3-8b-tp2:

    moa-compile plan.json --model examples/llama-3-8b/config.json --arch sm_90a -o DIR/llama-3-8b
    moa-compile plan.json --model examples/llama-3-8b/config.json --arch sm_90a --tp 2 \
        -o DIR/llama-3-8b-tp2

Full batch: as many sequences of N tokens as fit into --gib of a GPU beside its weights, all of them
full. A step is one CUDA graph: all layers, the sums over ranks, lm_head and argmax. Ranks hold the
same model whatever their number, and before it is measured transformers generates with it: `logits
apart` is the largest difference to one rank beside the largest logit, `same text` the part of new
tokens before the first that differs. On the CPU nothing is captured, and times mean nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from bench.lib.torch_timing import write_json

from . import ROOT
from .packages import compile_plan
from .shapes import llama_config

# Whose small shape --small takes.
SMALL = "llama-3-8b"


def small_packages(folder: Path) -> None:
    """Packages of the small shape, for the emulator."""
    plan = {
        "format": "moa-plan",
        "version": 1,
        "model": {"name": "small", "layers": 2, "queryHeads": 4, "kvHeads": 2, "headDim": 64},
        "alphas": [[0, 128, 128, 128]] * 2,
        "betas": [[0.7, 0, 0, 0]] * 2,
    }
    source, config = folder / "plan.json", folder / "config.json"
    source.write_text(json.dumps(plan))
    config.write_text(llama_config(SMALL, small=True).to_json_string(use_diff=False))
    for name, options in ((SMALL, ()), (f"{SMALL}-tp2", ("--tp", "2"))):
        compile_plan(source, config, folder / name, "--emit", "cuda", "--arch", "8.0", *options)


def run_ranks(model: str, ranks: int, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """One model on so many GPUs, in processes of their own, so that each has all memory."""
    package = Path(options.packages) / (model if ranks == 1 else f"{model}-tp{ranks}")
    result, check = scratch / "result.json", scratch / f"{model}-{ranks}.pt"
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [sys.executable, *(start if ranks > 1 else []), "-m", "bench.models.tp_rank"]
    command += ["--model", model, "--package", str(package), "--device", options.device]
    command += ["--result", str(result), "--check", str(check), "--gib", str(options.gib)]
    command += ["--steps", str(options.steps), "--batch", str(options.batch), "--lengths"]
    command += [*map(str, options.lengths), *(["--small"] if options.small else [])]
    subprocess.run(command, check=True, cwd=ROOT)
    row: dict[str, Any] = json.loads(result.read_text())
    one = scratch / f"{model}-1.pt"
    if ranks > 1 and one.exists():
        row.update(compare(torch.load(one), torch.load(check)))
    return row


def compare(one: dict[str, torch.Tensor], many: dict[str, torch.Tensor]) -> dict[str, float]:
    """What several ranks gave beside what one gave."""
    apart = (one["logits"] - many["logits"]).abs().max() / one["logits"].abs().max()
    same = (one["text"] == many["text"]).long().cumprod(1).float().mean()
    return {"logits apart": round(float(apart), 5), "same text": round(float(same), 3)}


def table(rows: list[dict[str, Any]]) -> str:
    """Of throughput, with what it is beside one rank."""
    lines = ["| model | N | ranks | batch | ms a step | tokens/s | of one rank | ranks agree |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    first: dict[tuple[str, int], float] = {}
    for row in rows:
        for entry in row["rows"]:
            speed, key = entry.get("tokens/s", 0.0), (row["model"], entry["N"])
            if row["ranks"] == 1:
                first[key] = speed
            ratio = f"{speed / first[key]:.2f}" if first.get(key) else ""
            step = sorted(entry.get("ms a step", [0.0]))
            cells: tuple[Any, ...] = (
                row["model"],
                entry["N"],
                row["ranks"],
                entry["batch"],
                step[len(step) // 2],
            )
            cells += (speed, ratio, row["ranks agree"])
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packages")
    parser.add_argument("--out", required=True)
    parser.add_argument("--models", nargs="+", default=["llama-3-8b", "vicuna-7b"])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--lengths", type=int, nargs="+", default=[8192])
    parser.add_argument("--gib", type=float, default=70.0)
    parser.add_argument("--batch", type=int, default=0, help="instead of a full one")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="a tiny model; makes its packages")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moa-tp-") as made:
        scratch = Path(made)
        if options.small:
            options.models, options.packages = [SMALL], str(scratch)
            options.lengths, options.steps, options.batch = [256], 2, options.batch or 2
            small_packages(scratch)
        elif options.packages is None:
            parser.error("--packages is missing")
        rows = [
            run_ranks(model, ranks, options, scratch)
            for model in options.models
            for ranks in options.ranks
        ]
    on = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    result = {"device": on, "torch": torch.__version__, "gib": options.gib, "rows": rows}
    write_json(options.out, result)
    print(table(rows))


if __name__ == "__main__":
    main()
