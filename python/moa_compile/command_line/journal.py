"""The partial file of a run that can be stopped: its results so far, a batch a line."""

import json
import os
from collections.abc import Iterator
from typing import Any

from ..search.codes import MoaError
from ..search.tensorfile import cannot_write

_COMPACT = (",", ":")
_VERSION = 1


class Journal:
    """Lines are added whole: one that a killed process left half-written does not count.

    format: the file's. key: all that the results depend on.
    """

    def __init__(self, path: str, format: str, key: dict[str, Any]) -> None:
        self._path = path
        self._head: dict[str, Any] = {"format": format, "version": _VERSION, "key": key}

    def open(self) -> None:
        """Looks at the file if there is one. Raises MOA7406 if it belongs to other inputs or is
        damaged."""
        if not os.path.exists(self._path):
            return
        with open(self._path, "rb") as file:
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if whole:
            self._check(whole)
        os.truncate(self._path, len(whole))

    def append(self, batch: list[Any]) -> None:
        """Raises MOA7409."""
        lines = [batch] if self._is_begun() else [self._head, batch]
        content = b"".join(json.dumps(line, separators=_COMPACT).encode() + b"\n" for line in lines)
        try:
            with open(self._path, "ab") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def batches(self) -> Iterator[list[Any]]:
        if not self._is_begun():
            return
        with open(self._path, "rb") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def remove(self) -> None:
        if os.path.exists(self._path):
            os.unlink(self._path)

    def _is_begun(self) -> bool:
        return os.path.exists(self._path) and os.path.getsize(self._path) > 0

    def _check(self, content: bytes) -> None:
        first, *rest = content.splitlines()
        try:
            head = json.loads(first)
            stated = ("format", "version")
            if not isinstance(head, dict) or any(head.get(n) != self._head[n] for n in stated):
                raise ValueError("another format")
            for line in rest:
                if not isinstance(json.loads(line), list):
                    raise ValueError("a line is no batch")
        except ValueError as error:
            raise self._refused(f"cannot be read: {error}") from error
        key = json.loads(json.dumps(self._head["key"]))
        if head.get("key") != key:
            before = head.get("key")
            names = [
                name for name in key if isinstance(before, dict) and before.get(name) != key[name]
            ]
            raise self._refused(f"is of a run with another {' and '.join(names) or 'key'}")

    def _refused(self, why: str) -> MoaError:
        help = "--restart begins anew and overwrites it; or give another --output"
        return MoaError("MOA7406", f"{self._path} {why}", help)
