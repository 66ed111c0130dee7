"""The user's own questions: one a line, {"context", "question", "answer"}."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ..search.codes import MoaError
from ..tasks import Question

KIND = "own"
"""Of all of them."""
_HELP = 'a line is {"context": "...", "question": "...", "answer": "..."}; see docs/calibrate.md'


@dataclass(frozen=True)
class Questions:
    path: str
    questions: tuple[Question, ...]
    sha256: str


def read_questions(path: str, need_answers: bool) -> Questions:
    """Raises MOA7404 if the file cannot be read, MOA7420 for a line that is no question, or has no
    answer where answers are needed."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        message = f"the questions {path} cannot be read: {error.strerror}"
        help = "give the path of a .jsonl file with --questions"
        raise MoaError("MOA7404", message, help) from error
    found = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            question = _question_of(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise _bad_line(f"{path}:{number}: {_reason(error)}", _HELP) from error
        if need_answers and not question.answer:
            message = f'{path}:{number}: it has no "answer", by which --keep-right judges'
            raise _bad_line(message, "add the answers, or leave --keep-right out")
        found.append(question)
    if not found:
        raise _bad_line(f"{path} has no question", _HELP)
    return Questions(path, tuple(found), hashlib.sha256(content).hexdigest())


def _question_of(line: Any) -> Question:
    if not isinstance(line, dict):
        raise ValueError("it is no JSON object")
    for key in ("context", "question"):
        if not isinstance(line.get(key), str) or not line[key].strip():
            raise ValueError(f'"{key}" is {"no text" if key in line else "missing"}')
    answer = line.get("answer") or ""
    if not isinstance(answer, str):
        raise ValueError('"answer" is no text')
    context = line["context"]
    "".join((context, line["question"], answer)).encode()  # Raises for half of a surrogate pair.
    evidence = tuple(_range_of(each, len(context)) for each in _list_of(line.get("evidence")))
    depth = evidence[0][0] / len(context) if evidence else None
    return Question(KIND, context, line["question"], answer.strip(), depth, evidence)


def _list_of(evidence: Any) -> list[Any]:
    if evidence is not None and not isinstance(evidence, list):
        raise ValueError('"evidence" is no list')
    return evidence or []


def _range_of(each: Any, length: int) -> tuple[int, int]:
    if (
        not isinstance(each, list)
        or len(each) != 2
        or any(type(place) is not int for place in each)
        or not 0 <= each[0] < each[1] <= length
    ):
        message = f"{str(each)[:40]} is no [from, to] within the {length} characters of the context"
        raise ValueError(f'"evidence": {message}')
    return each[0], each[1]


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg} at column {error.colno}"
    if isinstance(error, UnicodeError):
        return "no UTF-8 text"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _bad_line(message: str, help: str) -> MoaError:
    return MoaError("MOA7420", message, help)
