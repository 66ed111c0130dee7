"""The whole profile: files, resuming, and the same bytes every time."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import torch
from safetensors import safe_open

from moa_compile.search import cli, profile
from moa_compile.search.codes import MoaError
from moa_compile.search.fingerprint import Fingerprint
from moa_compile.search.partial import Partial, Progress
from moa_compile.search.profile import Interrupted

from .reference import reference
from .tiny import WithFolder, line_of, tiny_model, tiny_sample, write_lines

LINES = [line_of(100, 3, 1), line_of(128, 128, 2), line_of(129, 5, 3), line_of(200, 1, 4), line_of(256, 9, 5), line_of(300, 9, 6)]
"""Two samples for 128, three for 256, and one that is too long."""
LENGTHS = "256,128"


def load(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


class ProfileFile(WithFolder):
    def arguments(self, output, *more):
        data = write_lines(self.path("data.jsonl"), LINES)
        return ["profile", "--model", self.model_folder, "--data", data, "--lengths", LENGTHS, "--output", output, "--device", "cpu", *more]

    def profiled(self, name, *more):
        output = self.path(name)
        self.assertEqual(cli.main(self.arguments(output, *more)), 0)
        return output

    def test_tensors_and_metadata(self):
        output = self.profiled("a.safetensors")
        metadata, tensors = load(output)
        self.assertEqual((metadata["format"], metadata["version"], set(metadata)), ("moa-profile", "1", {"format", "version", "profile"}))
        facts = json.loads(metadata["profile"])
        digest = hashlib.sha256(bytes_of(self.path("data.jsonl"))).hexdigest()
        self.assertEqual(facts["model"], {"name": "model", "layers": 2, "queryHeads": 4, "kvHeads": 2, "headDim": 16, "windows": [None, None]})
        self.assertEqual(facts["fingerprint"], Fingerprint(self.model_folder).value())
        self.assertEqual((facts["page"], facts["skipped"], facts["data"]), (64, 1, {"sha256": digest}))
        self.assertEqual(set(tensors), {"influence.128", "influence.256"})
        model = tiny_model("llama", torch.float64)
        for entry, samples in zip(facts["lengths"], (((100, 3, 1), (128, 128, 2)), ((129, 5, 3), (200, 1, 4), (256, 9, 5)))):
            length = entry["length"]
            expected = [reference(model, *tiny_sample(*sample), length)[:2] for sample in samples]
            answers = sum(min(answers, tokens - 1) for tokens, answers, _ in samples)
            self.assertEqual((entry["samples"], entry["answerTokens"]), (len(samples), answers))
            self.assertAlmostEqual(entry["loss"], sum(loss for loss, _ in expected) / len(samples), places=4)
            found = tensors[f"influence.{length}"]
            self.assertEqual((found.dtype, found.shape), (torch.float32, (2, 4, 2, length // 64, length // 64)))
            torch.testing.assert_close(found.double(), sum(tensor for _, tensor in expected) / len(samples), rtol=2e-3, atol=1e-6)
        self.assertEqual(sorted(os.listdir(self.path("")))[:2], ["a.safetensors", "data.jsonl"])  # Nothing partial is left.
        self.assertEqual(len(os.listdir(self.path(""))), 2)

    def test_options_of_samples_type_and_blocks(self):
        whole = self.profiled("whole.safetensors", "--quiet")
        self.assertEqual(bytes_of(self.profiled("again.safetensors")), bytes_of(whole))
        blocks = load(self.profiled("blocks.safetensors", "--query-block", "64"))[1]
        for name, tensor in load(whole)[1].items():
            torch.testing.assert_close(blocks[name], tensor, rtol=1e-4, atol=1e-7)
        metadata, tensors = load(self.profiled("few.safetensors", "--samples", "1", "--dtype", "bfloat16"))
        facts = json.loads(metadata["profile"])
        self.assertEqual([entry["samples"] for entry in facts["lengths"]], [1, 1])
        self.assertEqual((facts["model"]["elementType"], facts["skipped"]), ("bf16", 1))

    def test_the_target_is_in_the_metadata_and_in_every_sample(self):
        model = tiny_model("llama", torch.float64)
        for target in ("cross-entropy", "margin"):
            metadata, tensors = load(self.profiled(f"{target}.safetensors", "--target", target))
            self.assertEqual(json.loads(metadata["profile"])["target"], target)
            expected = [reference(model, *tiny_sample(*sample), 128, target)[1] for sample in ((100, 3, 1), (128, 128, 2))]
            torch.testing.assert_close(tensors["influence.128"].double(), sum(expected) / 2, rtol=2e-3, atol=1e-6)
        self.assertEqual(json.loads(load(self.profiled("plain.safetensors"))[0]["profile"])["target"], "cross-entropy")

    def test_a_run_stopped_at_any_sample_goes_on_to_the_same_bytes(self):
        expected = bytes_of(self.profiled("whole.safetensors"))
        real = profile.profile_sample
        for stopped in range(5):
            for error in (Interrupted(15), MoaError("MOA7405", "a bad sample", "none"), torch.OutOfMemoryError("full")):
                output, calls = self.path(f"part{stopped}.safetensors"), 0

                def until(*arguments):
                    nonlocal calls
                    calls += 1
                    if calls > stopped:
                        raise error
                    return real(*arguments)

                with self.subTest(stopped=stopped, error=error):
                    with mock.patch.object(profile, "profile_sample", until), mock.patch("sys.stderr"):
                        self.assertEqual(cli.main(self.arguments(output)), {Interrupted: 143, MoaError: 2, torch.OutOfMemoryError: 1}[type(error)])
                    self.assertFalse(os.path.exists(output))
                    self.assertTrue(os.path.exists(cli.partial_path(output)))
                    calls = 0
                    counting = mock.Mock(side_effect=real)
                    with mock.patch.object(profile, "profile_sample", counting):
                        self.assertEqual(cli.main(self.arguments(output)), 0)
                    self.assertEqual(counting.call_count, 5 - stopped)
                    self.assertEqual(bytes_of(output), expected)
                    self.assertFalse(os.path.exists(cli.partial_path(output)))
                    os.unlink(output)

    def test_a_killed_process_goes_on_to_the_same_bytes(self):
        expected = bytes_of(self.profiled("whole.safetensors"))
        output = self.path("killed.safetensors")
        # A partial file after each sample, and so slow that the signal comes between them.
        slow = (
            "import sys, time; from moa_compile.search import cli, partial, profile; real = profile.profile_sample\n"
            "def later(*a):\n    time.sleep(0.4); return real(*a)\n"
            "profile.profile_sample = later; save = partial.Partial.save\n"
            "partial.Partial.save = lambda self, at_once=True: save(self)\n"
            "sys.exit(cli.main(sys.argv[1:]))"
        )
        for number, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
            with self.subTest(number):
                process = subprocess.Popen([sys.executable, "-c", slow, *self.arguments(output)], stderr=subprocess.PIPE, text=True)
                deadline = time.monotonic() + 60
                while not os.path.exists(cli.partial_path(output)) and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.02)
                process.send_signal(number)
                error = process.communicate()[1]
                self.assertEqual(process.returncode, status, error)
                self.assertNotIn("Traceback", error)
                self.assertFalse(os.path.exists(output))
                self.assertEqual(cli.main(self.arguments(output)), 0)
                self.assertEqual(bytes_of(output), expected)
                os.unlink(output)

    def test_a_partial_file_of_another_run_or_damaged(self):
        output = self.path("p.safetensors")

        def stop():
            with mock.patch.object(profile, "profile_sample", side_effect=Interrupted(2)), mock.patch("sys.stderr"):
                self.assertEqual(cli.main(self.arguments(output)), 130)

        stop()
        for option, value in (("samples", "1"), ("target", "margin")):
            with mock.patch("sys.stderr") as stderr:
                self.assertEqual(cli.main(self.arguments(output, f"--{option}", value)), 2)
            text = "".join(call.args[0] for call in stderr.write.call_args_list)
            self.assertIn("MOA7406", text)
            self.assertIn(f"another {option}\n", text)
            self.assertIn("--restart", text)
        good = bytes_of(cli.partial_path(output))
        for bad in (b"", good[: len(good) // 2], good.replace(b"moa-profile-partial", b"moa-profile-pasting")):
            with open(cli.partial_path(output), "wb") as file:
                file.write(bad)
            with mock.patch("sys.stderr") as stderr:
                self.assertEqual(cli.main(self.arguments(output)), 2)
            self.assertIn("MOA7406", "".join(call.args[0] for call in stderr.write.call_args_list))
        self.assertEqual(cli.main(self.arguments(output, "--restart")), 0)
        self.assertTrue(os.path.exists(output))

    def test_a_partial_file_is_not_written_more_often_than_it_may(self):
        partial = Partial(self.path("x.partial.safetensors"), {}, [Progress(64)], {"influence.64": torch.zeros(1)})
        partial.save(at_once=False)
        self.assertFalse(os.path.exists(partial.path))
        partial._saved -= 11
        partial.save(at_once=False)
        self.assertTrue(os.path.exists(partial.path))
        partial._saved -= 11
        partial._took = 5.0
        with mock.patch("moa_compile.search.partial.write_tensors") as write:
            partial.save(at_once=False)
        write.assert_not_called()


if __name__ == "__main__":
    unittest.main()
