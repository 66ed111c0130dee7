"""Measures whole models: ours and the peers.

    python3 -m bench.models.run OUT.json --packages FOLDER

OUT.json is complete after each point. A second run goes on where the first one ended."""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.lib.torch_timing import write_json

from .points import all_points, chosen
from .processes import Workers
from .settings import Settings


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m bench.models.run", description=__doc__)
    parser.add_argument("out", help="the result, JSON")
    parser.add_argument("--packages", default="generated", help="a folder of packages by name")
    parser.add_argument("--only", help="points by patterns of their ids: bare/*,*/16384/*")
    parser.add_argument("--list", action="store_true", help="print the ids of points, and end")
    parser.add_argument("--again", action="store_true", help="measure chosen points once more")
    parser.add_argument(
        "--minutes", type=float, default=60, help="start no point that may end later than that"
    )
    parser.add_argument("--gib", type=float, default=70, help="of weights and caches together")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="tiny models, to try the program")
    return parser.parse_args(arguments)


def read_results(path: Path, settings: Settings) -> dict[str, Any]:
    """What an earlier run of the same settings left. Rows that failed are tried again."""
    own = {key: value for key, value in asdict(settings).items() if key != "packages"}
    results: dict[str, Any] = {"command": "python3 -m bench.models.run", "settings": own}
    if not path.exists():
        return {**results, "rows": []}
    found: dict[str, Any] = json.loads(path.read_text())
    if found.get("settings") != own:
        raise SystemExit(f"{path} has settings {found.get('settings')}, this run {own}")
    return found


def is_done(row: dict[str, Any]) -> bool:
    return "error" not in row and "skipped" not in row


def add_row(results: dict[str, Any], row: dict[str, Any]) -> None:
    """Rows keep the order of points; a point has one."""
    order = {point.id: place for place, point in enumerate(all_points())}
    rows = [each for each in results["rows"] if each["id"] != row["id"]]
    results["rows"] = sorted([*rows, row], key=lambda each: order.get(each["id"], len(order)))


def shown(row: dict[str, Any]) -> str:
    """A line of the log."""
    if "error" in row or "skipped" in row:
        return f"{row['id']:44} {'failed' if 'error' in row else 'skipped'}: " + str(
            row.get("error", row.get("skipped"))
        )
    units = {
        "msPerStep": "ms a step",
        "tokensPerSecond": "tokens/s",
        "firstTokenMs": "ms to the first token",
        "attentionMs": "ms of attention",
        "kernelMs": "ms of kernels",
        "usPerCall": "us a call",
        "usPerLayer": "us a layer",
        "peakGiB": "GiB",
        "joulesPerToken": "J a token",
        "wallSeconds": "s in all",
    }
    said = [f"{row[key]:g} {unit}" for key, unit in units.items() if key in row]
    return f"{row['id']:44} batch {row.get('rows')}: {', '.join(said)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where a point failed. arguments: of the command line by default."""
    options = parse(arguments)
    points = chosen(all_points(), options.only)
    if options.list:
        print("\n".join(point.id for point in points))
        return 0
    packages = str(Path(options.packages).resolve())
    settings = Settings(options.device, options.small, options.gib, packages)
    out = Path(options.out).resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    results = read_results(out, settings)
    done = {row["id"] for row in results["rows"] if is_done(row) and not options.again}
    left = [point for point in points if point.id not in done]
    end = time.monotonic() + 60 * options.minutes
    if not left:
        return 0
    failed = False
    with tempfile.TemporaryDirectory(prefix="moa-bench-") as scratch:
        # What torch.compile makes for one point serves the next one, and the next run.
        kept = os.environ.get("TORCHINDUCTOR_CACHE_DIR", str(out.parent / "inductor-cache"))
        workers = Workers(settings, Path(scratch), {"TORCHINDUCTOR_CACHE_DIR": kept})
        try:
            for place, point in enumerate(left):
                seconds = min(point.limit, end - time.monotonic())
                # Less than half of what it may take is not worth the start.
                if seconds < point.limit / 2:
                    print(f"no time for {point.id} and {len(left) - place - 1} more", flush=True)
                    break
                answer = workers.run(point, seconds, place == len(left) - 1)
                results |= answer.get("facts", {})
                add_row(results, answer["row"])
                failed |= "error" in answer["row"]
                write_json(str(out), results)
                print(shown(answer["row"]), flush=True)
        finally:
            workers.close()
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
