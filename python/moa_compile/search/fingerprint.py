"""Which model a folder holds: the contents of its weights, config and tokenizer.

The same number as src/search/modelFingerprint.ts: SHA-256 of a line `<sha256 of the file>  <name>\\n` for each file, by name. Size, times and inode
only say whether contents need to be read again.
"""

import hashlib
import os

from .codes import MoaError

SUFFIXES = (".bin", ".jinja", ".json", ".model", ".pt", ".pth", ".py", ".safetensors", ".tiktoken", ".txt")
_CHUNK = 1 << 22


class Fingerprint:
    """The files of a folder as they are now. Contents are read when they are first asked for."""

    def __init__(self, folder: str):
        self.folder = folder
        self._states = self._look()
        self._hashes: dict[str, str] | None = None

    def files(self) -> dict[str, str]:
        """SHA-256 by name. Raises MOA7412 if a file changes meanwhile."""
        if self._hashes is None:
            self._hashes = {name: self._hash(name) for name in self._states}
            if self._look() != self._states:
                raise self._changed("while they were read")
        return self._hashes

    def value(self) -> str:
        lines = "".join(f"{digest}  {name}\n" for name, digest in self.files().items())
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()

    def require_unchanged(self) -> None:
        """Raises MOA7412 if the contents are others now. Files that look as before are not read again."""
        before, now = self._states, self._look()
        if now == before:
            return
        same = list(now) == list(before)
        if not same or any(self._hash(name) != self.files()[name] for name in now if now[name] != before[name]):
            raise self._changed("while they were used")
        self._states = now

    def _look(self) -> dict[str, tuple]:
        """What changes with every write: a copy that keeps the time of modification still has another time of change."""
        try:
            found = [entry.name for entry in os.scandir(self.folder) if entry.name.endswith(SUFFIXES) and entry.is_file()]
            states = ((name, os.stat(os.path.join(self.folder, name))) for name in sorted(found, key=os.fsencode))
            return {name: (s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev) for name, s in states}
        except OSError as error:
            raise self._unreadable(error) from error

    def _hash(self, name: str) -> str:
        digest = hashlib.sha256()
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise self._unreadable(error) from error
        return digest.hexdigest()

    def _unreadable(self, error: OSError) -> MoaError:
        where = error.filename or self.folder
        return MoaError("MOA7401", f"{where} cannot be read: {error.strerror}", "give a folder with config.json and weights (.safetensors)")

    def _changed(self, when: str) -> MoaError:
        return MoaError("MOA7412", f"files of {self.folder} changed {when}", "leave the folder alone, and run again; --restart begins a profile anew")
