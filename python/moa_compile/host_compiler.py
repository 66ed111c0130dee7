"""Builds emitted kernels for the emulator with the host's C++ compiler, as the Node runtime does,
into the same cache (`src/toolchain/hostKernel.ts`): what one has built, the other loads."""

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import MoaError
from .kernel_cache import KernelCache, cache_key

_HERE: Final = Path(__file__).resolve().parent
# In a wheel the emulator's sources lie in the package (setup.py), in a checkout and in the npm
# package beside `python`.
_ROOTS: Final = (_HERE / "_emulator", _HERE.parents[1])
_ROOT: Final = next((root for root in _ROOTS if (root / "native/emulator").is_dir()), _ROOTS[0])
_ENGINE: Final = _ROOT / "native/emulator/engine.cpp"
_ABI: Final = _ROOT / "native/emulator/abi.h"
_PRIMITIVES: Final = _ROOT / "native/emulator/include"
_HEADERS: Final = _ROOT / "templates/include"

_KERNEL_FLAGS: Final = ["-std=c++20", "-O1", "-fPIC", "-w", "-shared"]
_OBJECT_FLAGS: Final = ["-std=c++20", "-O2", "-fPIC", "-w", "-c"]
_FAST_LINKER: Final = ["-fuse-ld=gold"]
_PROBE: Final = (
    "#include <source_location>\n#include <span>\n"
    "int main() { return std::span<int>().size() + std::source_location::current().line() == 0; }\n"
)
# What makes a compiler build something else from the same command line.
_DROPPED: Final = (
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
    "CCC_OVERRIDE_OPTIONS",
)
_TIMEOUT_S: Final = 600


@dataclass(frozen=True)
class HostCompiler:
    """`linker`: flags that choose the linker. `identity`: part of every cache key."""

    path: str
    args: tuple[str, ...]
    linker: tuple[str, ...]
    identity: str


@functools.cache
def _cache() -> KernelCache:
    return KernelCache(os.environ)


def check_can_build() -> None:
    """Raises MOA6205 where the emulator's sources or a C++20 compiler are missing."""
    if not _ENGINE.exists():
        raise _failure(
            "kernels",
            f"the emulator's sources are not in {_ROOT}",
            "install moa_compile whole: pip install ./python, in a checkout or in the npm package; "
            "or run on a GPU",
        )
    _host_compiler()


def build_emulator_library(source: Path, name: str) -> Path:
    """The shared library of an emitted kernel (native/emulator/abi.h), built where the cache has
    none.

    Raises MOA6205 where moa-compile's emulator or a C++20 compiler is missing, or the compiler
    fails.
    """
    check_can_build()
    compiler = _host_compiler()
    engine = _engine(compiler)
    folders = (_HEADERS, _PRIMITIVES)
    flags = [*_KERNEL_FLAGS, *compiler.linker]
    return _cache().place_library(
        _build(compiler, flags, name, source.read_text("utf-8"), folders, engine)
    )


@functools.cache
def _engine(compiler: HostCompiler) -> bytes:
    """The object that all kernels are linked with."""
    return _build(
        compiler, _OBJECT_FLAGS, "engine", _ENGINE.read_text("utf-8"), (_PRIMITIVES,), None
    )


def _build(
    compiler: HostCompiler,
    flags: list[str],
    name: str,
    text: str,
    folders: Sequence[Path],
    engine: bytes | None,
) -> bytes:
    fields: list[tuple[str, str | bytes]] = [
        ("format", "host kernel 2"),
        ("compiler", compiler.identity),
        ("flags", _json(flags)),
        (f"source {name}", text),
    ]
    for index, folder in enumerate(folders):
        fields += [(f"include {index} {label}", data) for label, data in _headers(folder)]
    fields.append(("input 0", _ABI.read_bytes()))
    if engine is not None:
        fields.append(("engine", engine))
    key = cache_key(fields)
    found = _cache().load(key)
    if found is not None and "library" in found:
        return found["library"]
    library = _compile(compiler, flags, name, text, folders, engine)
    _cache().store(key, {"library": library})
    return library


@functools.cache
def _headers(folder: Path) -> list[tuple[str, bytes]]:
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    return [(path[len(str(folder)) + 1 :], Path(path).read_bytes()) for path in paths]


def _compile(
    compiler: HostCompiler,
    flags: list[str],
    name: str,
    text: str,
    folders: Sequence[Path],
    engine: bytes | None,
) -> bytes:
    with tempfile.TemporaryDirectory(prefix="moa-compile-build-") as build:
        file = f"{name}.cu"
        Path(build, file).write_text(text, "utf-8")
        if engine is not None:
            Path(build, "engine.o").write_bytes(engine)
        # The library names headers as they are included, so that it is the same wherever they lie.
        includes = [
            word for each in folders for word in ("-I", str(each), f"-ffile-prefix-map={each}/=")
        ]
        linked = [] if engine is None else ["-x", "none", "engine.o"]
        args = [*compiler.args, *flags, *includes, "-x", "c++", file, *linked, "-o", "kernel.so"]
        status, output = _run([compiler.path, *args], build)
        if status != 0:
            raise _failure(
                name, f"it does not compile (exit status {status}):\n{output.strip()[:4000]}"
            )
        return Path(build, "kernel.so").read_bytes()


def _host_compiler() -> HostCompiler:
    return _find_compiler(os.environ.get("CXX", ""), os.environ.get("PATH", ""))


@functools.cache
def _find_compiler(cxx: str, path: str) -> HostCompiler:
    """`CXX` alone where it is set, else g++, c++ or clang++ on PATH."""
    commands = [cxx.split()] if cxx.split() else [["g++"], ["c++"], ["clang++"]]
    tried = []
    for name, *args in commands:
        found = os.path.abspath(name) if "/" in name else _on_path(name, path)
        if found is None or not os.access(found, os.X_OK):
            tried.append(f"{name} (not found)")
            continue
        status, version = _run([found, *args, "--version"])
        file = os.stat(found)
        identity = _json([found, args, version, f"{file.st_size}:{file.st_mtime_ns // 1_000_000}"])
        linker = _linker(found, args, identity, path) if status == 0 else None
        if linker is not None:
            return HostCompiler(found, tuple(args), tuple(linker), identity)
        tried.append(f"{found} (does not compile C++20)")
    where = "CXX" if cxx.split() else "PATH"
    message = f"no C++20 compiler was found; tried from {where}: {', '.join(tried)}"
    raise _failure("kernels", message, "install g++ 11 or clang++ 14, or later, or set CXX")


def _on_path(name: str, path: str) -> str | None:
    """Entries of PATH that are not absolute are left out on purpose."""
    folders = [folder for folder in path.split(":") if folder.startswith("/")]
    return shutil.which(name, path=":".join(folders)) if folders else None


def _linker(compiler: str, args: list[str], identity: str, path: str) -> list[str] | None:
    """The flags of the linker to use; None where the compiler has no C++20."""
    key = cache_key(
        [("format", "host compiler 1"), ("compiler", identity), ("PATH", path), ("probe", _PROBE)]
    )
    known = _cache().load(key)
    if known is not None and "linker" in known:
        flags: list[str] = json.loads(known["linker"])
        return flags
    for linker, own in (
        (_FAST_LINKER, ["-shared", "-fPIC", *_FAST_LINKER, "-o", "probe.so"]),
        ([], ["-fsyntax-only"]),
    ):
        with tempfile.TemporaryDirectory(prefix="moa-compile-build-") as build:
            Path(build, "probe.cpp").write_text(_PROBE)
            if _run([compiler, *args, "-std=c++20", *own, "probe.cpp"], build)[0] != 0:
                continue
        _cache().store(key, {"linker": _json(linker).encode()})
        return linker
    return None


def _run(command: Sequence[str], folder: str | None = None) -> tuple[int, str]:
    """The exit status of a program, and what it printed: of one that failed, its errors."""
    environment = {key: value for key, value in os.environ.items() if key not in _DROPPED} | {
        "LC_ALL": "C"
    }
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def _json(value: object) -> str:
    """As `JSON.stringify` prints it: part of cache keys."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _failure(name: str, what: str, help: str = "") -> MoaError:
    return MoaError(
        "emulatorBuild", f"the emulator's library of {name} could not be built: {what}", help
    )
