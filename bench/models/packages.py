"""Makes the packages that the benchmark measures, on a machine with node and nvcc.

    python3 -m bench.models.packages FOLDER [--plans DIR] [--arch sm_90a] [--small]

DIR has the published plans by the names of their models. The plan of density 0.5 by KV head is made
here: it is for what it costs, no profile of a model is behind it."""

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any, Final

from . import ROOT
from .shapes import MODELS, Shape, shape_of

_PUBLISHED: Final = {
    "vicuna-7b": "lmsys--vicuna-7b-v1.5-16k.json",
    "llama-3-8b": "gradientai--Llama-3-8B-Instruct-262k.json",
}
# Spans of KV heads, as parts of the length: half of it on average. Search gives some heads nearly
# everything and others little, and so does this.
_PARTS: Final = (1.0, 0.75, 0.75, 0.5, 0.5, 0.25, 0.125, 0.125)


def half_plan(shape: Shape) -> dict[str, Any]:
    """Density 0.5 at every length that is a multiple of 512 tokens, in each layer; each layer
    begins with another part. All query heads of a KV head have its span."""
    every = len(_PARTS)
    parts = _PARTS if shape.kv_heads % every == 0 else (0.5,)
    betas = [
        [parts[(layer + head // shape.group) % len(parts)] for head in range(shape.query_heads)]
        for layer in range(shape.layers)
    ]
    return {
        "format": "moa-plan",
        "version": 1,
        "model": {
            "name": f"{shape.name}-half",
            "layers": shape.layers,
            "queryHeads": shape.query_heads,
            "kvHeads": shape.kv_heads,
            "headDim": shape.head_dim,
        },
        "alphas": [[0] * shape.query_heads for _ in range(shape.layers)],
        "betas": betas,
    }


def plans_of(shape: Shape, plans: Path, small: bool) -> dict[str, dict[str, Any]]:
    """By the name of the package."""
    half = half_plan(shape)
    published = half if small else json.loads((plans / _PUBLISHED[shape.name]).read_text())
    if shape.name == "vicuna-7b":
        return {shape.name: published}
    return {shape.name: published, f"{shape.name}-half": half}


def make_packages(folder: Path, plans: Path, options: list[str], small: bool) -> None:
    """Writes each plan and its package."""
    sources = folder / "plans"
    sources.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        shape = shape_of(model, small)
        config = sources / f"{model}.config.json"
        config.write_text(json.dumps(shape.config, indent=1))
        for name, plan in plans_of(shape, plans, small).items():
            source = sources / f"{name}.json"
            source.write_text(json.dumps(plan))
            compile_plan(source, config, folder / name, *options)


def compile_plan(plan: Path, config: Path, folder: Path, *options: str) -> None:
    """Makes a package for bf16 models."""
    given = [str(plan), "--model", str(config), "-o", str(folder), "--dtype", "bf16", "--quiet"]
    compiler = ["node", str(ROOT / "bin/moa-compile.js"), "compile"]
    subprocess.run([*compiler, *given, *options], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m bench.models.packages", description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--plans", default=".gpu/plans", help="published plans")
    parser.add_argument("--arch", default="sm_90a")
    parser.add_argument("--small", action="store_true", help="for run.py --small, sources alone")
    options = parser.parse_args()
    emitted = ["--emit", "cuda"] if options.small else []
    arch = ["--arch", "sm_80" if options.small else options.arch]
    make_packages(
        Path(options.folder).resolve(), Path(options.plans), [*arch, *emitted], options.small
    )


if __name__ == "__main__":
    main()
