"""`measure` on the CPU with a tiny model, and what it prints."""

import argparse
import contextlib
import io
import json
import unittest

import torch

from moa_compile.errors import MoaError as RuntimeMoaError
from moa_compile.measure import command
from moa_compile.measure.point import Point, measure_point
from moa_compile.measure.table import table
from moa_compile.search.codes import MoaError

from ..hf.models import PLAN, compiled, config_of, tiny_model
from ..runtime.packages import obstacle, scratch

REASON = obstacle()


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return parser.parse_args(words)


class Table(unittest.TestCase):
    def test_ratios_stand_beside_the_figures(self) -> None:
        dense = {"firstTokenSeconds": 2.0, "msPerStep": 10.0, "tokensPerSecond": 100.0, "GiB": 8.0}
        ours = {"firstTokenSeconds": 1.0, "msPerStep": 4.0, "tokensPerSecond": 250.0, "GiB": 4.0}
        at = {"length": 4096, "batch": 2}
        text = table(
            [
                {**at, "attention": "dense", **dense},
                {**at, "attention": "package", **ours},
                {"length": 8192, "batch": 2, "attention": "dense", "error": "out of memory"},
                {"length": 8192, "batch": 2, "attention": "package", **ours},
            ]
        )
        lines = text.splitlines()
        self.assertEqual(lines[2], "| 4096 | 2 | dense | 2.000 | 10.00 | 100.0 | 8.00 |")
        better = "1.000 (2.00 x) | 4.00 (2.50 x) | 250.0 (2.50 x) | 4.00 (2.00 x)"
        self.assertEqual(lines[3], f"| 4096 | 2 | package | {better} |")
        self.assertIn("| out of memory | out of memory |", lines[4])
        self.assertEqual(lines[5], "| 8192 | 2 | package | 1.000 | 4.00 | 250.0 | 4.00 |")


@unittest.skipIf(REASON is not None, REASON)
class Measure(unittest.TestCase):
    def folder(self) -> str:
        folder = scratch() / "measured"
        tiny_model().save_pretrained(folder)
        return str(folder)

    def test_a_model_dense_and_on_its_package(self) -> None:
        package = str(compiled("measure", PLAN, config_of("llama")))
        output = scratch() / "measure.json"
        words = ("--lengths", "64,130", "--batch", "2", "--new-tokens", "6", "--device", "cpu")
        given = options(
            "--model", self.folder(), "--package", package, *words, "--output", str(output)
        )
        shown: list[tuple[int, int, str]] = []
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(command.run(given, lambda *each: shown.append(each)), 0)
        said = json.loads(output.read_text())
        self.assertEqual(said["format"], "moa-measure")
        kinds = [(row["length"], row["batch"], row["attention"]) for row in said["rows"]]
        self.assertEqual(kinds, [(n, 2, kind) for n in (64, 130) for kind in ("dense", "package")])
        for row in said["rows"]:
            self.assertGreater(row["tokensPerSecond"], 0)
            self.assertEqual(row["steps"], 5)
        self.assertEqual(shown[-1][:2], (4, 4))
        self.assertIn("| 130 | 2 | package |", out.getvalue())

    def test_what_does_not_fit_is_a_row(self) -> None:
        model = tiny_model()
        point = Point(64, 1, 4)
        for error in (torch.OutOfMemoryError("no"), RuntimeMoaError("outOfMemory", "no")):
            with self.subTest(error=type(error).__name__):

                def fails(*_: object, raised: BaseException = error, **__: object) -> None:
                    raise raised

                model.generate = fails
                self.assertEqual(measure_point(model, point, {}), {"error": "out of memory"})

    def test_bad_options(self) -> None:
        for words, says in (
            (("--lengths", "64,x"), "--lengths: 'x' is no number"),
            (("--batch", "0"), "--batch: '0' is no number"),
            (("--lengths", "64"), "64 tokens leave no prompt before 64 new ones"),
            (("--new-tokens", "1"), "--new-tokens is less than 2"),
        ):
            with self.assertRaises(MoaError) as raised:
                given = options("--model", "m", "--package", "p", *words)
                command.run(given, lambda *_: None)
            self.assertEqual(raised.exception.code, "MOA7404")
            self.assertIn(says, str(raised.exception))
