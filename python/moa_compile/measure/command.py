"""`python -m moa_compile measure`: a model dense and on a package, in turns."""

import argparse
import json
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..command_line.command import Command, Show
from ..command_line.options import add_model_option, add_run_options, bad_option, count
from .table import table

if TYPE_CHECKING:
    from .point import Point

_PACKAGE: Final = "package"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add = parser.add_argument
    add_model_option(parser)
    add("--package", required=True, metavar="DIR", help="compiled with the model's config")
    lengths = "tokens with the new ones"
    add("--lengths", type=_numbers("--lengths"), default=[4096, 16384], help=lengths)
    add("--batch", type=_numbers("--batch"), default=[1, 8], help="sequences at once")
    new = "generated ones of each sequence"
    add("--new-tokens", type=count("--new-tokens", 2), default=64, metavar="N", help=new)
    static = "also dense with a static cache, which transformers compiles: takes minutes"
    add("--static", action="store_true", help=static)
    add("--output", metavar="FILE.json", help="all figures")
    add_run_options(parser)


def run(options: argparse.Namespace, show: Show) -> int:
    """The command; prints the table. show: progress, as `done, of, text`."""
    points = _points(options)
    import torch
    import transformers

    from ..search.model import device_of, load_model
    from ..search.tensorfile import replacing, require_writable

    if options.output is not None:
        require_writable(options.output)
    device = device_of(options.device)
    model = load_model(options.model, device, options.dtype)
    on_gpu = device.type == "cuda"
    head = {
        "format": "moa-measure",
        "version": 1,
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "newTokens": options.new_tokens,
    }
    rows = _rows(model, options.package, points, options.static, show)
    if options.output is not None:
        with replacing(options.output) as file:
            file.write((json.dumps({**head, "rows": rows}, indent=2) + "\n").encode())
    facts = f"{head['device']}, torch {head['torch']}, transformers {head['transformers']}"
    print(f"{facts}, {options.new_tokens} new tokens\n\n{table(rows)}", end="", flush=True)
    return 0


def _rows(
    model: Any,
    package: str,
    points: "list[Point]",
    static: bool,
    show: Show,
) -> list[dict[str, Any]]:
    from ..hf.attach import attach, detach
    from .point import measure_point

    kinds = ["dense", *(["static"] if static else []), _PACKAGE]
    # Whether the package is for the model is said before anything long runs.
    attach(model, package, length_bound=points[0].length)
    detach(model)
    rows: list[dict[str, Any]] = []
    for point in points:
        for kind in kinds:
            show(len(rows), len(points) * len(kinds), f"{kind}, {point.batch} x {point.length}")
            if kind == _PACKAGE:
                attach(model, package, length_bound=point.length)
            generation = {"cache_implementation": "static"} if kind == "static" else {}
            try:
                facts = measure_point(model, point, generation)
            finally:
                if kind == _PACKAGE:
                    detach(model)
            rows.append({"length": point.length, "batch": point.batch, "attention": kind, **facts})
    show(len(rows), len(rows), "done")
    return rows


def _points(options: argparse.Namespace) -> "list[Point]":
    from .point import Point

    new = options.new_tokens
    short = next((length for length in options.lengths if length <= new), None)
    if short is not None:
        raise bad_option(f"--lengths: {short} tokens leave no prompt before {new} new ones")
    return [Point(length, batch, new) for length in options.lengths for batch in options.batch]


def _numbers(name: str) -> Callable[[str], list[int]]:
    """The type of a list of numbers from 1: `1,8`."""

    def parse(text: str) -> list[int]:
        words = [word.strip() for word in text.split(",")]
        for word in words:
            if not word.isdecimal() or not 1 <= int(word) <= 2**27:
                raise bad_option(f"{name}: {word[:40]!r} is no number from 1")
        return [int(word) for word in words]

    return parse


_HELP: Final = "speed, memory and energy of a model on a package, beside the same model dense"
COMMAND: Final = Command("measure", _HELP, add_options, run)
