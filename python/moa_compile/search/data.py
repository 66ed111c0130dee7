"""The data file: one sample a line, as tokens or as text (docs/search-formats.md)."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from .codes import MoaError

IGNORED = -100
"""The label of a token that is not in the loss."""

_KINDS = (("input_ids", "labels"), ("prompt", "answer"), ("text",))


@dataclass(frozen=True)
class Sample:
    place: str
    """`file:line`."""
    tokens: list[int]
    labels: list[int]


@dataclass
class Samples:
    by_length: dict[int, list[Sample]]
    sha256: str = ""
    """Of the bytes of the file."""
    skipped: int = 0
    """Samples longer than every length."""


@dataclass
class Encoder:
    """Makes tokens of lines. The tokenizer is loaded by `load_tokenizer` when the first line needs it; that raises if there is none."""

    vocabulary: int
    load_tokenizer: object
    _tokenizer: object = field(default=None, init=False)

    def encode(self, line: dict) -> tuple[list[int], list[int]]:
        """(tokens, labels) of a line; raises ValueError with what is wrong."""
        kinds = [kind for kind in _KINDS if any(key in line for key in kind)]
        if len(kinds) != 1 or any(key not in line for key in kinds[0]):
            raise ValueError('it must have "input_ids" and "labels", or "prompt" and "answer", or "text"')
        if kinds[0] == ("input_ids", "labels"):
            tokens, labels = line["input_ids"], line["labels"]
            self._check(tokens, "input_ids")
            self._check(labels, "labels", IGNORED)
            if len(tokens) != len(labels):
                raise ValueError(f"labels has {len(labels)} entries, input_ids {len(tokens)}")
        else:
            texts = [line[key] for key in kinds[0]]
            if not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{' and '.join(kinds[0])} must be text")
            *prompt, answer = [self._tokens(text) for text in texts]
            before = self._begin() + [token for part in prompt for token in part]
            tokens, labels = before + answer, [IGNORED] * len(before) + answer
            self._check(tokens, "the tokenizer's output")
        if not any(label != IGNORED for label in labels[1:]):
            raise ValueError("no token is in the loss (the first token never is: nothing predicts it)")
        return tokens, labels

    def _check(self, values: object, name: str, also: int | None = None) -> None:
        if not isinstance(values, list):
            raise ValueError(f"{name} must be a list")
        for index, value in enumerate(values):
            if type(value) is not int or not (0 <= value < self.vocabulary or value == also):
                allowed = f"a token from 0 to {self.vocabulary - 1}" + ("" if also is None else f" or {also}")
                raise ValueError(f"{name}[{index}] is {str(value)[:40]}, not {allowed}")

    def _get(self):
        if self._tokenizer is None:
            self._tokenizer = self.load_tokenizer()
        return self._tokenizer

    def _tokens(self, text: str) -> list[int]:
        """Prompt and answer are tokenised apart, so that the answer's tokens do not depend on the prompt."""
        return list(self._get()(text, add_special_tokens=False)["input_ids"])

    def _begin(self) -> list[int]:
        """The token that begins a sequence, if this tokenizer puts one there; a token that ends one would stand before the answer."""
        tokenizer = self._get()
        begin = tokenizer.bos_token_id
        return [begin] if begin is not None and tokenizer("x")["input_ids"][:1] == [begin] else []


def read_samples(path: str, lengths: list[int], limit: int | None, encoder: Encoder) -> Samples:
    """The first `limit` samples (None: all) of each length, in the order of the file; each at the smallest length that holds its tokens.

    Raises MOA7402 for a bad line, MOA7403 for a length without a sample, MOA7404 if the file cannot be read.
    """
    samples = Samples({length: [] for length in sorted(lengths)})
    digest = hashlib.sha256()
    for place, line in _lines(path, digest):
        tokens, labels = _sample_of(place, line, encoder)
        length = next((length for length in samples.by_length if len(tokens) <= length), None)
        if length is None:
            samples.skipped += 1
        elif limit is None or len(samples.by_length[length]) < limit:
            samples.by_length[length].append(Sample(place, tokens, labels))
    samples.sha256 = digest.hexdigest()
    for length, found in samples.by_length.items():
        if not found:
            help = "add samples whose tokens fit into it but not into a shorter length, or leave the length out"
            raise MoaError("MOA7403", f"{path} has no sample for length {length}", help)
    return samples


def read_long_samples(path: str, length: int, limit: int | None, encoder: Encoder) -> list[Sample]:
    """The first `length` tokens of the first `limit` samples (None: all) that have as many, and a token in the loss among them.

    Raises MOA7402 for a bad line, MOA7403 if there is no such sample, MOA7404 if the file cannot be read.
    """
    samples: list[Sample] = []
    longest = 0
    for place, line in _lines(path, hashlib.sha256()):
        tokens, labels = _sample_of(place, line, encoder)
        longest = max(longest, len(tokens))
        fits = len(tokens) >= length and any(label != IGNORED for label in labels[1:length])
        if fits and (limit is None or len(samples) < limit):
            samples.append(Sample(place, tokens[:length], labels[:length]))
    if not samples:
        lacking = f"a token in the loss among its first {length}" if longest >= length else f"{length} tokens"
        help = "give longer samples (a search has --validation-data for them), or validate at a shorter length"
        raise MoaError("MOA7403", f"no sample of {path} has {lacking}, the length of the validation; the longest has {longest}", help)
    return samples


def _lines(path: str, digest) -> Iterator[tuple[str, bytes]]:
    """(`file:line`, bytes) of every line that is not blank; `digest` takes all bytes."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                digest.update(line)
                if line.strip():
                    yield f"{path}:{number}", line
    except OSError as error:
        raise MoaError("MOA7404", f"the data file {path} cannot be read: {error.strerror}", "give the path of a .jsonl file with --data") from error


def _sample_of(place: str, line: bytes, encoder: Encoder) -> tuple[list[int], list[int]]:
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            raise ValueError("it is no JSON object")
        return encoder.encode(value)
    except json.JSONDecodeError as error:
        problem = f"no JSON: {error.msg} at column {error.colno}"
    except UnicodeDecodeError:
        problem = "no UTF-8 text"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:
        problem = str(error)
    raise MoaError("MOA7402", f"{place}: {problem}", "mend or remove the line; docs/search-formats.md shows the three kinds of lines")
