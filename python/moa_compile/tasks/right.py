"""Whether what a model said holds the reference answer."""

import re
import unicodedata

_BETWEEN_DIGITS = re.compile(r"(?<=\d)[, \u00a0\u202f](?=\d{3}(?!\d))")
_NO_WORD = re.compile(r"[^\w.]+|(?<!\d)\.|\.(?!\d)|_+")


def holds(answer: str, said: str) -> bool:
    """Whether each part of `answer` (separated by `;`) is in `said` as whole words or numbers.
    Case, punctuation and commas between thousands do not count. An empty answer is never held."""
    parts = [part for part in map(_plain, answer.split(";")) if part]
    text = _plain(said)
    return bool(parts) and all(_is_in(part, text) for part in parts)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_NO_WORD.sub(" ", _BETWEEN_DIGITS.sub("", folded)).split())


def _is_in(part: str, text: str) -> bool:
    at = text.find(part)
    while at >= 0:
        end = at + len(part)
        before = text[at - 1 : at]
        if not _joined(before, part[0]) and not _joined(part[-1], text[end : end + 1]):
            return True
        at = text.find(part, at + 1)
    return False


def _joined(left: str, right: str) -> bool:
    """Whether two characters belong to one number or word. Scripts without upper and lower case
    often write no spaces, so their characters never do."""
    if not left or not right:
        return False
    return all(c.isdigit() or c == "." for c in (left, right)) or all(
        c.lower() != c.upper() for c in (left, right)
    )
