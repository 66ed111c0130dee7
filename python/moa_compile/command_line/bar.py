"""Progress on a terminal."""

import os
import sys
from typing import Any


class Bar:
    """Progress on stderr, if that is a terminal."""

    def __init__(self, quiet: bool) -> None:
        self._off = quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"
        self._bar: Any = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, of: int, text: str) -> None:
        if self._off:
            return
        if self._bar is None:
            from tqdm import tqdm

            begin = max(done - 1, 0)
            self._bar = tqdm(total=of, initial=begin, unit="sample", file=sys.stderr)
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)
