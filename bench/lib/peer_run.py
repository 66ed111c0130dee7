"""The run of a benchmark's peers: their limits of time, and a row for each point, also for one that fails. JSON is written after each."""
import argparse
import json
import time

import torch
from torch_timing import first_line, write_json


def parse_options(benchmark, seconds):
    """Arguments of a benchmark's peers.py: `out`, `ours` (what ours.ts wrote), `only` (names), `limits` (seconds by name; `seconds` by default)."""
    parser = argparse.ArgumentParser(usage=f"peers.py OUT.json {benchmark}-ours.json [--seconds PEER=SECONDS,...] [--only PEER,...]")
    parser.add_argument("out")
    parser.add_argument("ours")
    parser.add_argument("--seconds", default="")
    parser.add_argument("--only", default=",".join(seconds))
    options = parser.parse_args()
    options.limits = seconds | {name: float(limit) for name, limit in (pair.split("=") for pair in options.seconds.split(",") if pair)}
    options.only = options.only.split(",")
    with open(options.ours) as file:
        options.ours = json.load(file)
    return options


def new_results(**facts):
    return {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), **facts, "leftOut": {}, "rows": []}


def run_peers(options, results, points_of, measure, show):
    """
    `points_of(peer)` lists points, the most important first; `point.key` is what its rows begin with. `measure(peer, point)` gives the rest of a
    row, and `show(row)` what is printed of it.
    """
    for peer in options.only:
        end = time.monotonic() + options.limits[peer]
        for point in points_of(peer):
            if time.monotonic() > end:
                results["leftOut"][peer] = results["leftOut"].get(peer, 0) + 1
                continue
            row = {"plan": point.plan, "implementation": peer, **point.key}
            try:
                row |= measure(peer, point)
            except Exception as error:  # noqa: BLE001 - any failure of a peer is its result
                row |= {"error": first_line(error)}
            finally:
                torch.cuda.empty_cache()
            results["rows"].append(row)
            write_json(options.out, results)
            facts = " ".join(f"{key}={value}" for key, value in point.key.items())
            print(f'{row["plan"]:14} {peer:12} {facts:32} {row.get("error") or show(row)}', flush=True)
        write_json(options.out, results)
