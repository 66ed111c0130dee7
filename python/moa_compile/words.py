"""Values in messages."""

from collections.abc import Sequence
from numbers import Real


def describe(value: object) -> str:
    """A value of any type in an error: short, and on one line."""
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, str):
        return (
            '"'
            + (value[:40] + "..." if len(value) > 40 else value)
            .encode("unicode_escape")
            .decode("ascii")
            + '"'
        )
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Real):
        return str(value)
    return f"a {type(value).__name__}"


def ranges(numbers: Sequence[int]) -> str:
    """`0..3 7 9..10`"""
    parts: list[tuple[int, int]] = []
    for number in numbers:
        if parts and parts[-1][1] + 1 == number:
            parts[-1] = (parts[-1][0], number)
        else:
            parts.append((number, number))
    return " ".join(str(first) if first == last else f"{first}..{last}" for first, last in parts)


def is_integer(value: object) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)
