"""Prints evaluations (evaluate.py) as Markdown: a table for each length, a row for each density and plan.

    python table.py evaluation.json ...

The name of a mask is `plan@density`; without a density, that of its KV heads is taken, to the nearest hundredth. A plan is compared with `uniform` of
the same length and density. Plans of several files stand in one table; of one name at one length, the last counts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HEADINGS = [
    "density",
    "plan",
    "kept (KV heads)",
    "accuracy",
    "of dense",
    "accuracy over N/2",
    "accuracy over {far}",
    "loss",
    "effective context",
    "of uniform",
]


def split_name(result: dict) -> tuple[str, float]:
    """(plan, nominal density) of a result."""
    plan, _, density = result["name"].partition("@")
    return plan, float(density) if density else round(result["density"]["kvHeads"], 2)


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def row(result: dict, dense: dict, uniform: dict | None) -> list[str]:
    plan, density = split_name(result)
    ratio = result["effectiveContext"] / uniform["effectiveContext"] if uniform and uniform["effectiveContext"] else None
    return [
        percent(density),
        plan,
        percent(result["density"]["kvHeads"]),
        percent(result["accuracy"]),
        percent(result["accuracy"] / dense["accuracy"] if dense["accuracy"] else None),
        percent(result["overHalf"]["accuracy"]),
        percent(result["overFar"]["accuracy"]),
        f"{result['loss']:.4f}",
        str(result["effectiveContext"]),
        "" if ratio is None else f"{ratio:.2f}",
    ]


def table(results: list[dict], length: int) -> list[str]:
    """Lines of the table of one length: dense first, then by falling density, uniform before the others."""
    named = {split_name(result): result for result in results if result["length"] == length}
    dense = next(result for (plan, _), result in named.items() if plan == "dense")
    order = sorted(named, key=lambda key: (key[0] != "dense", -key[1], key[0] != "uniform", key[0]))
    rows = [row(named[plan, density], dense, named.get(("uniform", density))) for plan, density in order]
    headings = [heading.format(far=dense["overFar"]["over"]) for heading in HEADINGS]
    lines = [headings, ["---"] * 2 + ["---:"] * (len(headings) - 2), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def report(evaluations: list[dict]) -> str:
    results = [result for evaluation in evaluations for result in evaluation["results"]]
    parts = []
    for length in sorted({result["length"] for result in results}):
        counts = {evaluation["samples"] for evaluation in evaluations if any(result["length"] == length for result in evaluation["results"])}
        samples = " or ".join(str(count) for count in sorted(counts))
        answers = max(result["answerTokens"] for result in results if result["length"] == length)
        parts.append("\n".join([f"N = {length} ({samples} sequences, {answers} answer tokens)", "", *table(results, length)]))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Prints evaluations as Markdown.")
    parser.add_argument("evaluations", nargs="+")
    options = parser.parse_args()
    print(report([json.loads(Path(path).read_text(encoding="utf-8")) for path in options.evaluations]))


if __name__ == "__main__":
    main()
