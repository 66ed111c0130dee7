"""Runs that were stopped go on to the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import torch

from moa_compile.calibrate import asker
from moa_compile.command_line.command import partial_path
from moa_compile.command_line.signals import Interrupted

from .support import WithModel, bytes_of, knowing

COMMON = ("--samples", "4", "--batch", "3", "--answer-tokens", "12", "--keep-all")


class Resumed(WithModel):
    def whole(self, *more):
        self.calibrated(*COMMON, *more, output=self.path("whole"), lengths="512,576")
        return bytes_of(self.path("whole"))

    def args(self, *more):
        return self.arguments(*COMMON, *more, lengths="512,576")

    def stopped_after(self, batches, error=None):
        """The function that answers, until it is stopped."""
        real, calls = asker.greedy_answers, 0

        def until(*arguments):
            nonlocal calls
            calls += 1
            if calls > batches:
                raise error or Interrupted(15)
            return real(*arguments)

        return mock.patch.object(asker, "greedy_answers", until)

    def test_stopped_after_any_batch(self):
        expected = self.whole()
        errors = (None, torch.OutOfMemoryError("full"), RuntimeError("a bug"))
        for batches in range(4):
            for error, status in zip(errors, (143, 1, 1), strict=True):
                with self.subTest(batches=batches, error=error):
                    with self.stopped_after(batches, error):
                        found, out, said = self.run_main(self.args())
                    self.assertEqual((found, out), (status, ""))
                    if error is None:
                        where = partial_path(self.path("out.jsonl"))
                        says = f"interrupted: the same command goes on where {where} is\n"
                        self.assertEqual(said, says)
                    self.assertFalse(os.path.exists(self.path("out.jsonl")))
                    counting = mock.Mock(side_effect=asker.greedy_answers)
                    with mock.patch.object(asker, "greedy_answers", counting):
                        self.assertEqual(self.run_main(self.args())[0], 0)
                    self.assertEqual(counting.call_count, 4 - batches)
                    self.assertEqual(bytes_of(self.path("out.jsonl")), expected)
                    os.unlink(self.path("out.jsonl"))
        self.assertEqual(sorted(os.listdir(self.path(""))), ["whole"])

    def test_out_of_memory_names_the_batch(self):
        with self.stopped_after(1, torch.OutOfMemoryError("full")):
            self.fails("MOA7408", "--batch 1", self.args(), status=1)

    def test_with_right_answers_alone(self):
        def knows(number, kind):
            return number % 4 != 2

        common = ("--samples", "9", "--batch", "4", "--keep-right")
        with knowing(knows):
            self.calibrated(*common, output=self.path("whole"))
        for batches in range(3):
            with knowing(knows) as answers:
                with self.stopped_after(batches):
                    self.assertEqual(self.run_main(self.arguments(*common))[0], 143)
                # Goes on to count where it was.
                self.assertEqual(len(answers.calls), batches)
                self.calibrated(*common)
            self.assertEqual(bytes_of(self.path("out.jsonl")), bytes_of(self.path("whole")))

    def test_a_line_that_was_half_written_does_not_count(self):
        expected = self.whole()
        with self.stopped_after(2):
            self.run_main(self.args())
        partial = partial_path(self.path("out.jsonl"))
        content = bytes_of(partial)
        ends = [at + 1 for at, byte in enumerate(content) if byte == 10]
        for length in (0, 1, ends[0] - 1, ends[0], ends[0] + 9, ends[1] - 1, ends[1] + 999):
            with open(partial, "wb") as file:
                file.write(content[:length])
            with self.subTest(length=length):
                self.assertEqual(self.run_main(self.args())[0], 0)
                self.assertEqual(bytes_of(self.path("out.jsonl")), expected)

    def test_other_inputs_and_damage(self):
        with self.stopped_after(1):
            self.run_main(self.args())
        partial = partial_path(self.path("out.jsonl"))
        content = bytes_of(partial)
        for more, says in (
            (["--seed", "1"], "another seed\n"),
            (["--kinds", "lines"], "another kinds\n"),
            (["--answer-tokens", "9"], "another answerTokens\n"),
            (["--prompt", "plain", "--dtype", "bfloat16"], "another prompt and dtype\n"),
        ):
            self.assertIn("--restart", self.fails("MOA7406", says, self.args(*more)))
        self.fails(
            "MOA7406",
            "another keepRight",
            self.arguments(*COMMON[:-1], "--keep-right", lengths="512,576"),
        )
        head, batch = content.splitlines()
        for bad in (
            b"{}\n",
            b"[]\n",
            b"\xff\n",
            head[9:] + b"\n",
            head + b"\n{}\n",
            head + b"\n[\n",
        ):
            with open(partial, "wb") as file:
                file.write(bad)
            self.fails("MOA7406", "cannot be read", self.args())
        with open(partial, "wb") as file:
            file.write(head.replace(b'"key"', b'"keys"') + b"\n" + batch + b"\n")
        self.fails("MOA7406", "another key", self.args())
        self.assertEqual(self.run_main(self.args("--restart", "--seed", "1"))[0], 0)

    def test_a_model_that_changes(self):
        config = os.path.join(self.model_folder, "generation_config.json")
        before = bytes_of(config)
        real = asker.greedy_answers

        def change(*arguments):
            with open(config, "ab") as file:
                file.write(b"\n")
            return real(*arguments)

        try:
            with mock.patch.object(asker, "greedy_answers", change):
                self.fails("MOA7412", "changed while they were used", self.args())
        finally:
            with open(config, "wb") as file:
                file.write(before)
        self.assertFalse(os.path.exists(self.path("out.jsonl")))

    def test_a_killed_process(self):
        expected = self.whole()
        slow = (
            "import sys, time; from moa_compile.calibrate import asker\n"
            "real = asker.greedy_answers\n"
            "def later(*a):\n    time.sleep(0.4); return real(*a)\n"
            "asker.greedy_answers = later; from moa_compile.__main__ import main\n"
            "sys.exit(main())"
        )
        for number, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
            with self.subTest(number):
                command = [sys.executable, "-c", slow, *self.args()]
                process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
                partial = partial_path(self.path("out.jsonl"))
                deadline = time.monotonic() + 60

                def waiting(partial=partial, process=process, deadline=deadline):
                    begun = os.path.exists(partial) and bytes_of(partial).count(b"\n") > 1
                    return not begun and process.poll() is None and time.monotonic() < deadline

                while waiting():
                    time.sleep(0.02)
                process.send_signal(number)
                error = process.communicate()[1]
                self.assertEqual(process.returncode, status, error)
                self.assertNotIn("Traceback", error)
                self.assertFalse(os.path.exists(self.path("out.jsonl")))
                self.assertEqual(self.run_main(self.args())[0], 0)
                self.assertEqual(bytes_of(self.path("out.jsonl")), expected)
                os.unlink(self.path("out.jsonl"))

    def test_the_partial_file_tells_what_it_is(self):
        with self.stopped_after(1):
            self.run_main(self.args())
        head = json.loads(bytes_of(partial_path(self.path("out.jsonl"))).splitlines()[0])
        self.assertEqual((head["format"], head["version"]), ("moa-calibration-partial", 1))
        self.assertIn("model.safetensors", head["key"]["model"])


if __name__ == "__main__":
    unittest.main()
