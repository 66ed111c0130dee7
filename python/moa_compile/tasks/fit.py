"""Fills a number of tokens with few calls of the tokenizer."""

from collections.abc import Callable

_FIRST = 16
_PATIENCE = 6
"""Interpolations before halves are tried."""


def largest_fit(
    measure: Callable[[int], int], tokens: int, least: int, most: int, slack: int = 0
) -> int | None:
    """The largest size from `least` to `most` with measure(size) <= tokens; None if there is none.

    `measure` should rise with the size, about evenly. A size that lacks no more than `slack` tokens
    is good enough. What is returned was measured, so it fits in any case.
    """
    low, at_low = least, measure(least)
    if at_low > tokens:
        return None
    base, size = at_low, min(least + _FIRST, most)
    while True:
        if low == most or tokens - at_low <= slack:
            return low
        found = measure(size)
        if found > tokens:
            break
        low, at_low = size, found
        rate = max(found - base, 1) / (size - least)
        size = min(low + min(int(1.02 * (tokens - found) / rate) + 1, 32 * (size - least)), most)
    high, at_high = size, found
    for step in range(high - low):
        if high - low == 1 or tokens - at_low <= slack:
            break
        part = (tokens - at_low) / (at_high - at_low) if step < _PATIENCE else 0.5
        size = min(max(low + int((high - low) * part), low + 1), high - 1)
        found = measure(size)
        if found > tokens:
            high, at_high = size, found
        else:
            low, at_low = size, found
    return low
