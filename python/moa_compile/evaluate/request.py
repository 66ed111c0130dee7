"""The request of an evaluation (docs/evaluate-formats.md)."""

import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ..search.codes import MoaError
from ..tasks.kinds import KINDS

DENSE: Final = "dense"


@dataclass(frozen=True)
class Mask:
    """Of one length. windows: tokens, `[layers][query heads]`: a query head attends j from i when
    j <= i and (j < sink or i - j < window)."""

    sink: int
    windows: list[list[int]]


@dataclass(frozen=True)
class Subject:
    """What the model attends by: masks, by length, or a package that was compiled for them."""

    id: str
    masks: dict[int, Mask]
    package: str | None = None


@dataclass(frozen=True)
class RetrievalRequest:
    """samples: questions of a kind and length. depths: places of the evidence, evenly apart."""

    kinds: list[str]
    samples: int
    depths: int


@dataclass(frozen=True)
class TextsRequest:
    path: str
    samples: int


@dataclass(frozen=True)
class Request:
    seed: int
    lengths: list[int]
    subjects: list[Subject]
    retrieval: RetrievalRequest | None
    texts: TextsRequest | None


def read_request(path: str) -> Request:
    """The request in a file, its form checked. Raises MOA7430."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except OSError as error:
        _bad(path, f"it cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        _bad(path, f"it is no JSON: {error}")
    try:
        return _request(value)
    except _Wrong as wrong:
        _bad(path, str(wrong))


def require_shape(path: str, request: Request, layers: int, query_heads: int) -> None:
    """Raises MOA7430 unless masks have a window for each query head of the model."""
    for subject in request.subjects:
        for length, mask in subject.masks.items():
            found = [len(heads) for heads in mask.windows]
            if found != [query_heads] * layers:
                message = f"the mask of {subject.id} at {length} is not for {layers} layers"
                _bad(path, f"{message} of {query_heads} query heads")


class _Wrong(Exception):
    pass


def _request(value: Any) -> Request:
    head = _object(value, "the request", ("format", "version", "seed", "lengths", "subjects"))
    if head["format"] != "moa-evaluation-request" or head["version"] != 1:
        raise _Wrong('"format" is not "moa-evaluation-request", or "version" is not 1')
    lengths = [_integer(each, "lengths", 64) for each in _list(head["lengths"], "lengths")]
    if not lengths or lengths != sorted(set(lengths)):
        raise _Wrong('"lengths" do not rise')
    subjects = [_subject(each, lengths) for each in _list(head["subjects"], "subjects")]
    ids = [subject.id for subject in subjects]
    if len({*ids, DENSE}) != len(ids) + 1:
        raise _Wrong(f'two subjects have one id, or one is "{DENSE}"')
    retrieval, texts = head.get("retrieval"), head.get("texts")
    return Request(
        _integer(head["seed"], "seed", 0),
        lengths,
        subjects,
        None if retrieval is None else _retrieval(retrieval),
        None if texts is None else _texts(texts),
    )


def _subject(value: Any, lengths: list[int]) -> Subject:
    found = _object(value, "a subject", ("id", "masks"))
    masks = _object(found["masks"], "masks", ())
    if sorted(masks) != sorted(map(str, lengths)):
        raise _Wrong(f"subject {found['id']} has not one mask for each length")
    package = found.get("package")
    return Subject(
        _text(found["id"], "id"),
        {int(length): _mask(mask) for length, mask in masks.items()},
        None if package is None else _text(package, "package"),
    )


def _mask(value: Any) -> Mask:
    found = _object(value, "a mask", ("sink", "windows"))
    windows = [
        [_integer(window, "windows", 1) for window in _list(heads, "windows")]
        for heads in _list(found["windows"], "windows")
    ]
    return Mask(_integer(found["sink"], "sink", 0), windows)


def _retrieval(value: Any) -> RetrievalRequest:
    found = _object(value, "retrieval", ("kinds", "samples", "depths"))
    kinds = _list(found["kinds"], "kinds")
    unknown = next((kind for kind in kinds if kind not in KINDS), None)
    if not kinds or unknown is not None:
        raise _Wrong(f'"kinds" are of {", ".join(KINDS)}')
    samples = _integer(found["samples"], "samples", 1)
    return RetrievalRequest(kinds, samples, _integer(found["depths"], "depths", 1))


def _texts(value: Any) -> TextsRequest:
    found = _object(value, "texts", ("path", "samples"))
    return TextsRequest(_text(found["path"], "path"), _integer(found["samples"], "samples", 1))


def _object(value: Any, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{name} is no object")
    lacking = next((key for key in keys if key not in value), None)
    if lacking is not None:
        raise _Wrong(f'{name} has no "{lacking}"')
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f'"{name}" is no list')
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong(f'"{name}" is no text')
    return value


def _integer(value: Any, name: str, least: int) -> int:
    if type(value) is not int or not least <= value < 1 << 31:
        raise _Wrong(f'"{name}" has {str(value)[:40]}, which is no integer from {least}')
    return value


def _bad(path: str, message: str) -> NoReturn:
    help = "docs/evaluate-formats.md says what a request is"
    raise MoaError("MOA7430", f"{path}: {message}", help)
