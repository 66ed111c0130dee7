"""Measurements as a table in Markdown."""

from collections.abc import Sequence
from typing import Any, Final

_COLUMNS: Final = (
    ("firstTokenSeconds", "first token, s", 3),
    ("msPerStep", "a step, ms", 2),
    ("tokensPerSecond", "tokens/s", 1),
    ("GiB", "GiB beside weights", 2),
    ("joulesPerToken", "J/token", 3),
)
# Of these more is better.
_RATES: Final = {"tokensPerSecond"}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each row, and where a dense row stands beside it, how many times better it is."""
    columns = [each for each in _COLUMNS if any(each[0] in row for row in rows)]
    head = ["tokens", "batch", "attention", *(title for _, title, _ in columns)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [str(row["length"]), str(row["batch"]), row["attention"]]
        dense = _dense_of(row, rows)
        for name, _, digits in columns:
            cells.append(_cell(row, dense, name, digits))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _dense_of(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if row["attention"] == "dense":
        return None
    same = (
        each
        for each in rows
        if each["attention"] == "dense"
        and (each["length"], each["batch"]) == (row["length"], row["batch"])
    )
    return next(same, None)


def _cell(row: dict[str, Any], dense: dict[str, Any] | None, name: str, digits: int) -> str:
    if "error" in row:
        return str(row["error"])
    if name not in row:
        return ""
    text = f"{row[name]:.{digits}f}"
    if dense is None or not dense.get(name) or not row[name]:
        return text
    better = row[name] / dense[name] if name in _RATES else dense[name] / row[name]
    return f"{text} ({better:.2f} x)"
