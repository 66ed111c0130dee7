"""How many pages sequences use and write, from their lengths alone: no ring is walked. All counts
are exact."""

from collections import Counter
from functools import lru_cache
from math import inf

from .expressions import ceil_divide
from .layout import SessionLayout, ring_pages_in_use


class PageCounts:
    """Pages of a sequence over all rings of a session's layers."""

    def __init__(self, layout: SessionLayout, page_tokens: int) -> None:
        self._layout, self._page_tokens = layout, page_tokens
        self._rings = lru_cache(maxsize=4096)(self._count_rings)

    def in_use(self, bound: int, length: int) -> int:
        """Pages that a sequence of at most `bound` tokens holds when it has `length`."""
        pages = self._page_tokens
        return sum(
            n * ring_pages_in_use(length, window, sink, pages)
            for sink, window, n in self._rings(bound)
        )

    def even_to(self, bound: int, length: int) -> float:
        """A length up to which a sequence holds as many pages as at `length`: where a ring comes to
        another page, or before."""
        even = inf
        for sink, _, _ in self._rings(bound):
            begin = sink if length > sink else 0
            page = begin + ceil_divide(length - begin, self._page_tokens) * self._page_tokens
            even = min(even, min(sink, page) if begin == 0 and sink > 0 else page)
        return even

    def touched(self, bound: int, begin: float, end: int, length: int) -> int:
        """Pages that the tokens `begin .. end - 1` lie in and that are in use at `length`, each
        counted once."""
        if begin >= end:
            return 0
        first, pages = int(begin), 0
        for sink, window, count in self._rings(bound):
            limit = ring_pages_in_use(length, window, sink, self._page_tokens)
            pages += count * self._ring_pages_touched(first, end, window, sink, limit)
        return pages

    def _ring_pages_touched(self, begin: int, end: int, window: int, sink: int, limit: int) -> int:
        """Of the first `limit` pages of a ring, those that the tokens lie in; there is at least one
        token."""
        size = self._page_tokens
        pages = 0
        if begin < sink:
            pages = _between(begin // size, (min(end, sink) - 1) // size + 1, limit)
        if end <= sink:
            return pages
        first, last = max(begin, sink) - sink, end - sink
        window_pages = ceil_divide(window, size)
        limit -= ceil_divide(sink, size)
        if last - first >= window:
            return pages + _between(0, window_pages, limit)
        low, high = first % window, (last - 1) % window
        if low <= high:
            return pages + _between(low // size, high // size + 1, limit)
        # Round the end of the ring: its first pages up to that of the last token, and those from
        # the first token on.
        below = high // size + 1
        return (
            pages
            + _between(0, below, limit)
            + _between(max(below, low // size), window_pages, limit)
        )

    def _count_rings(self, bound: int) -> tuple[tuple[int, int, int], ...]:
        """Sink, window and number of all equal rings."""
        rings: Counter[tuple[int, int]] = Counter()
        for layer in self._layout.layers:
            for ring in layer.layer_class.rings(bound):
                rings[ring.sink, ring.window] += len(ring.kv_heads)
        return tuple((sink, window, count) for (sink, window), count in rings.items())


def _between(begin: int, end: int, limit: int) -> int:
    """Pages `begin .. end - 1` that are among the first `limit`."""
    return max(0, min(end, limit) - begin)
