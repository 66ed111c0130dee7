"""Packages that the tests of the runtime compile, once for each process, and the device that they
run on."""

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import moa_compile
from moa_compile.device import Buffer
from moa_compile.errors import MoaError

ROOT = Path(__file__).resolve().parents[3]
COMPILER = Path(os.environ.get("MOA_TEST_COMPILER", ROOT / "bin/moa-compile.js"))


def plan_of(
    shape: tuple[int, int, int, int], alphas: list[list[int]], betas: list[list[float]]
) -> dict[str, Any]:
    """A plan with a sink of 64 tokens. shape: layers, query heads, KV heads, elements of a head."""
    names = ("layers", "queryHeads", "kvHeads", "headDim")
    return {
        "format": "moa-plan",
        "version": 1,
        "model": {"name": "test", **dict(zip(names, shape, strict=True))},
        "sink": 64,
        "alphas": alphas,
        "betas": betas,
    }


LAYERS, QUERY_HEADS, KV_HEADS, HEAD_DIM = 3, 4, 2, 64
# In layer 0 query heads of a KV head differ in their rule, so there are two classes of layers.
PLAN = plan_of(
    (LAYERS, QUERY_HEADS, KV_HEADS, HEAD_DIM),
    alphas=[[0, 256, 0, 256], [0, 0, 0, 0], [0, 0, 0, 0]],
    betas=[[0.5, 0, 0.5, 0], [0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]],
)


class Scarce(moa_compile.Emulator):
    """An emulator with memory for so many more buffers. left: None is any number.

    allocations: that were asked for.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.left: int | None = None
        self.allocations = 0

    def allocate(self, size: int) -> Buffer:
        self.allocations += 1
        if self.left is not None:
            if self.left == 0:
                raise MoaError("outOfMemory", f"{size} bytes were asked for")
            self.left -= 1
        return super().allocate(size)

    @property
    def buffers(self) -> int:
        """That somebody holds."""
        return len(self._owned)


def obstacle() -> str | None:
    """Why packages cannot be compiled or run here; None: they can."""
    if shutil.which("node") is None:
        return "there is no node"
    if not (COMPILER.parents[1] / "dist/cli/main.js").exists():
        return "the compiler is not built: node scripts/setup.mjs packages typescript"
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        return "there is no C++ compiler"
    return None


@functools.cache
def scratch() -> Path:
    """A folder of this process."""
    folder = tempfile.mkdtemp(prefix="moa-python-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def _folder() -> Path:
    (scratch() / "plan.json").write_text(json.dumps(PLAN))
    return scratch()


@functools.cache
def package(*options: str) -> moa_compile.Package:
    """The test's plan, compiled with options of the command line."""
    folder = _folder() / "_".join(("package", *options)).replace("/", "")
    compile_package(_folder() / "plan.json", folder, *options)
    return moa_compile.load(folder)


def compile_package(plan: Path, out: Path, *options: str, emit: str = "cuda") -> None:
    """Compiles a plan with options of the command line, for compute capability 8.0 where they name
    none."""
    options = options if "--arch" in options else (*options, "--arch", "8.0")
    fixed = ("-o", str(out), "--emit", emit, "--dtype", "bf16", "--quiet")
    result = subprocess.run(
        ["node", str(COMPILER), "compile", str(plan), *fixed, *options],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
