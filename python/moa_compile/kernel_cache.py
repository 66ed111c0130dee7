"""The cache of built kernels, which the compiler and the Node runtime share
(`src/toolchain/kernelCache.ts`): an entry is one file, named by the hash of all that went into it:

    magic (8) | bytes of the header, little-endian (4) | SHA-256 of the header (32) | header, JSON |
    the parts, end to end
"""

import contextlib
import hashlib
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_MAGIC: Final = b"MOACACH1"


def cache_key(fields: Iterable[tuple[str, str | bytes]]) -> str:
    """A key from everything that decides the result: names and values, each behind its length."""
    digest = hashlib.sha256()
    for field in fields:
        for value in field:
            data = value.encode() if isinstance(value, str) else value
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class KernelCache:
    """`${XDG_CACHE_HOME:-~/.cache}/moa-compile`. Where that is not a folder of this user alone,
    nothing is kept."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        xdg = variables.get("XDG_CACHE_HOME", "")
        home = variables.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
        root = Path(xdg) if os.path.isabs(xdg) else Path(home) / ".cache"
        base = root / "moa-compile"
        usable = _is_own(base) and _is_own(base / "v1")
        self._entries: Path | None = base / "v1" if usable else None
        self._libraries: Path | None = (
            base / "libraries" if usable and _is_own(base / "libraries") else None
        )
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def load(self, key: str) -> dict[str, bytes] | None:
        """The parts under a key, every byte of which was checked."""
        data = None if self._entries is None else _read_own(self._entries / key)
        return None if data is None else _decode(key, data)

    def store(self, key: str, parts: Mapping[str, bytes]) -> None:
        """Keeps parts under a key, where the disk takes them."""
        if self._entries is None:
            return
        listed = [
            {"name": name, "bytes": len(data), "sha256": sha256(data)}
            for name, data in parts.items()
        ]
        text = json.dumps({"key": key, "parts": listed}, separators=(",", ":")).encode()
        header = _MAGIC + len(text).to_bytes(4, "little") + hashlib.sha256(text).digest() + text
        with contextlib.suppress(OSError):
            _replace(self._entries / key, header + b"".join(parts.values()))

    def place_library(self, data: bytes) -> Path:
        """A file with exactly these bytes, for `dlopen`: named by their hash, in a folder of this
        user alone."""
        folder = self._libraries
        if folder is None:
            self._temporary = self._temporary or tempfile.TemporaryDirectory(
                prefix="moa-compile-libraries-"
            )
            folder = Path(self._temporary.name)
        path = folder / f"{sha256(data)}.so"
        if _read_own(path) != data:
            _replace(path, data)
        return path


def _replace(path: Path, data: bytes) -> None:
    """Writes a file whole, or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _is_own(folder: Path) -> bool:
    """Makes the folder where it is absent, and finds that no other user can write to it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status, parent = folder.lstat(), folder.parent.stat()
    except OSError:
        return False
    own = (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and status.st_mode & 0o022 == 0
    )
    return own and (parent.st_mode & 0o002 == 0 or parent.st_mode & 0o1000 != 0)


def _read_own(path: Path) -> bytes | None:
    """The bytes of a regular file of this user; a link is never followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        return (
            file.read() if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() else None
        )


def _decode(key: str, data: bytes) -> dict[str, bytes] | None:
    start = len(_MAGIC) + 4 + 32
    end = start + int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 4], "little")
    text = data[start:end]
    if (
        not data.startswith(_MAGIC)
        or hashlib.sha256(text).digest() != data[len(_MAGIC) + 4 : start]
    ):
        return None
    header = json.loads(text)
    if header["key"] != key:
        return None
    parts: dict[str, bytes] = {}
    for part in header["parts"]:
        content = data[end : end + part["bytes"]]
        if sha256(content) != part["sha256"]:
            return None
        parts[part["name"]], end = content, end + part["bytes"]
    return parts if end == len(data) else None
