"""Prose from files of the user: one text file, or all of a folder."""

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Protocol

from ..search.codes import MoaError
from .draws import Draws

SUFFIXES = (".md", ".txt")
_BREAK = "\n\n"
_PARAGRAPH = re.compile(r"\n\s*(?=\S)")
"""What stands before one."""


class Prose(Protocol):
    """What questions are hidden in: `Texts`, or our own filler."""

    @property
    def characters(self) -> int:
        """The most of a stretch."""
        ...

    @property
    def name(self) -> str: ...

    def stretch(self, seed: int, characters: int) -> str: ...

    def holds(self, words: str) -> bool: ...


@dataclass(frozen=True)
class Texts:
    """Documents one after the other, in the order of their names."""

    name: str
    """The path that was read."""
    documents: tuple[str, ...]
    sha256: str
    """Of names and contents."""

    @staticmethod
    def read(path: str) -> "Texts":
        """A file, or the .txt and .md files of a folder and of those in it. Raises MOA7422."""
        names = _files_of(path)
        digest = hashlib.sha256()
        documents = []
        for name in names:
            content = _bytes_of(os.path.join(path, name) if name else path)
            digest.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
            text = _text_of(os.path.join(path, name) if name else path, content)
            if text:
                documents.append(text)
        if not documents:
            raise bad_texts(f"{path} has no text in it", "give files with prose")
        return Texts(path, tuple(documents), digest.hexdigest())

    @property
    def characters(self) -> int:
        return sum(len(document) + len(_BREAK) for document in self.documents)

    def stretch(self, seed: int, characters: int) -> str:
        """About `characters` of prose, or all there is. It begins at a paragraph that the seed
        chooses and goes on through the other documents, each character at most once. A longer
        stretch of a seed begins with a shorter one."""
        at, place = self._start(seed)
        first = self.documents[at]
        rest = [*self.documents[at + 1 :], *self.documents[:at]]
        taken = []
        missing = characters
        for part in (first[place:], *rest, first[:place]):
            if missing <= 0:
                break
            taken.append((part[:missing] + _BREAK)[:missing])
            missing -= len(taken[-1])
        return "".join(taken)

    def holds(self, words: str) -> bool:
        return any(words in document for document in self.documents)

    def _start(self, seed: int) -> tuple[int, int]:
        """(document, character) where a paragraph begins."""
        place = Draws("texts", seed).below(self.characters)
        for at, document in enumerate(self.documents):
            if place < len(document) + len(_BREAK):
                begin = _PARAGRAPH.search(document, min(place, len(document)))
                return at, (0 if begin is None else begin.end())
            place -= len(document) + len(_BREAK)
        raise AssertionError("a place beyond the texts")


def bad_texts(message: str, help: str) -> MoaError:
    return MoaError("MOA7422", message, help)


def _files_of(path: str) -> list[str]:
    """Names below `path`; "" is the file itself."""
    if not os.path.isdir(path):
        return [""]
    found = []
    for folder, _, names in os.walk(path, onerror=_refuse):
        below = os.path.relpath(folder, path)
        found += [os.path.normpath(os.path.join(below, name)) for name in names]
    chosen = [name for name in found if name.lower().endswith(SUFFIXES)]
    if not chosen:
        raise bad_texts(f"{path} has no .txt or .md file", "give a text file, or a folder of them")
    return sorted(chosen, key=os.fsencode)


def _refuse(error: OSError) -> None:
    raise bad_texts(f"{error.filename} cannot be read: {error.strerror}", "check permissions")


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise bad_texts(message, "give the path of a text file, or of a folder of them") from error


def _text_of(path: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{path} is no UTF-8 text (byte {error.start})"
        raise bad_texts(message, "convert it to UTF-8, or take it out of the folder") from error
    return text.replace("\r\n", "\n").strip()
