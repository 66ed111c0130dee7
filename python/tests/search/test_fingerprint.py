"""Which model a folder holds, and that a profile is of one model and one data file, whenever they are replaced."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import unittest
from unittest import mock

import torch
from safetensors.torch import load_file, save_file

from moa_compile.search import cli, profile
from moa_compile.search.codes import MoaError
from moa_compile.search.fingerprint import Fingerprint
from moa_compile.search.profile import Interrupted

from .tiny import WithFolder, line_of, tiny_model, write_lines


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def replace(path: str, content: bytes) -> None:
    """Other contents, with the size and the times of the file before: as `cp -p` of a file of the same age does."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.write(content)
    assert len(content) == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def changed(path: str) -> bytes:
    with open(path, "rb") as file:
        content = bytearray(file.read())
    content[-1] ^= 1
    return bytes(content)


class Contents(WithFolder):
    def folder(self):
        folder = self.path("folder")
        os.makedirs(folder)
        for name, content in {"config.json": b"{}", "model.safetensors": b"w" * 5000, "tokenizer.model": b"t", "Z.json": b"[]", "README.md": b"words"}.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        return folder

    def test_it_is_that_of_the_contents(self):
        folder = self.folder()
        rows = (("Z.json", b"[]"), ("config.json", b"{}"), ("model.safetensors", b"w" * 5000), ("tokenizer.model", b"t"))
        files = Fingerprint(folder)
        self.assertEqual(files.files(), {name: sha256(content) for name, content in rows})
        self.assertEqual(files.value(), sha256("".join(f"{sha256(content)}  {name}\n" for name, content in rows).encode()))

    def test_every_change_of_contents_is_seen_and_no_other(self):
        folder = self.folder()
        files = Fingerprint(folder)
        value = files.value()
        os.utime(os.path.join(folder, "model.safetensors"), (1, 1))
        shutil.copy(os.path.join(folder, "config.json"), os.path.join(folder, "copy"))
        os.replace(os.path.join(folder, "copy"), os.path.join(folder, "config.json"))
        files.require_unchanged()
        self.assertEqual(Fingerprint(folder).value(), value)
        for name in ("Z.json", "config.json", "model.safetensors", "tokenizer.model"):
            with self.subTest(name):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    good = file.read()
                files = Fingerprint(folder)
                files.files()
                replace(path, changed(path))
                self.assertNotEqual(Fingerprint(folder).value(), value)
                with self.assertRaises(MoaError) as caught:
                    files.require_unchanged()
                self.assertEqual(caught.exception.code, "MOA7412")
                replace(path, good)
                files.require_unchanged()
        os.unlink(os.path.join(folder, "tokenizer.model"))
        with self.assertRaises(MoaError):
            files.require_unchanged()

    def test_a_file_that_changes_before_it_is_read(self):
        folder = self.folder()
        files = Fingerprint(folder)
        replace(os.path.join(folder, "config.json"), b"[]")
        with self.assertRaises(MoaError) as caught:
            files.files()
        self.assertEqual(caught.exception.code, "MOA7412")


class Resume(WithFolder):
    """A profile of six samples that is interrupted after some, or whose inputs change under it."""

    def setUp(self):
        self.folder = self.path("model")
        shutil.copytree(self.model_folder, self.folder)
        self.weights = os.path.join(self.folder, "model.safetensors")
        self.data = write_lines(self.path("data.jsonl"), [line_of(100, 3, seed) for seed in range(6)])
        self.output = self.path("profile.safetensors")

    def run_profile(self, *more):
        arguments = ["--model", self.folder, "--data", self.data, "--lengths", "128", "--output", self.output, "--device", "cpu"]
        error = io.StringIO()
        with contextlib.redirect_stderr(error):
            return cli.main(["profile", *arguments, *more]), error.getvalue()

    def interrupted(self, after: int):
        real, calls = profile.profile_sample, 0

        def until(*arguments):
            nonlocal calls
            calls += 1
            if calls > after:
                raise Interrupted(2)
            return real(*arguments)

        with mock.patch.object(profile, "profile_sample", until):
            self.assertEqual(self.run_profile()[0], 130)
        self.assertTrue(os.path.exists(cli.partial_path(self.output)))

    def other_weights(self) -> bytes:
        """Those of another random model: the same size, other numbers."""
        tensors = load_file(self.weights)
        other = tiny_model("llama", torch.float32, seed=1).state_dict()
        path = self.path("other.safetensors")
        save_file({name: other[name].clone() for name in tensors}, path, {"format": "pt"})
        with open(path, "rb") as file:
            return file.read()

    def bytes_of_output(self):
        with open(self.output, "rb") as file:
            return file.read()

    def test_other_inputs_of_the_same_size_and_times_are_refused_or_begun_anew(self):
        def another_config():
            path = os.path.join(self.folder, "config.json")
            with open(path, "rb") as file:
                content = file.read()
            replace(path, content.replace(b'"initializer_range": 0.2', b'"initializer_range": 0.3'))

        changes = {
            "model": (lambda: replace(self.weights, self.other_weights()), another_config),
            "data": (lambda: replace(self.data, self._other_data()),),
        }
        for name, all_changes in changes.items():
            for change in all_changes:
                with self.subTest(name, change=change):
                    self.setUpAgain()
                    self.interrupted(4)
                    change()
                    status, error = self.run_profile()
                    self.assertEqual(status, 2)
                    self.assertIn("error MOA7406", error)
                    self.assertIn(f"another {name}\n", error)
                    self.assertFalse(os.path.exists(self.output))
                    self.assertEqual(self.run_profile("--restart")[0], 0)
                    fresh = self.bytes_of_output()
                    os.unlink(self.output)
                    self.assertEqual(self.run_profile()[0], 0)
                    self.assertEqual(self.bytes_of_output(), fresh)

    def setUpAgain(self):
        shutil.rmtree(self.path(""))
        self.setUp()

    def _other_data(self) -> bytes:
        with open(self.data, "rb") as file:
            content = file.read()
        at = content.rindex(b"]")
        last = content[at - 1 : at]
        return content[: at - 1] + (b"1" if last != b"1" else b"2") + content[at:]

    def test_the_same_inputs_go_on_to_the_same_bytes(self):
        self.assertEqual(self.run_profile()[0], 0)
        expected = self.bytes_of_output()
        os.unlink(self.output)
        self.interrupted(4)
        # A copy of the same contents is the same model.
        shutil.copy(self.weights, self.weights + ".copy")
        os.replace(self.weights + ".copy", self.weights)
        self.assertEqual(self.run_profile()[0], 0)
        self.assertEqual(self.bytes_of_output(), expected)

    def test_weights_that_are_replaced_while_it_runs(self):
        """In place, so that what maps the file would see others."""
        other, real = self.other_weights(), profile.profile_sample
        for at in (1, 3, 6):
            with self.subTest(at=at):
                self.setUpAgain()
                calls = 0

                def replacing(*arguments):
                    nonlocal calls
                    calls += 1
                    if calls == at:
                        replace(self.weights, other)
                    return real(*arguments)

                with mock.patch.object(profile, "profile_sample", replacing):
                    status, error = self.run_profile()
                self.assertEqual(status, 2)
                self.assertIn("error MOA7412", error)
                self.assertFalse(os.path.exists(self.output))
                self.assertEqual(self.run_profile()[0], 0)  # Nothing of the first run was kept.

    def test_weights_that_are_replaced_while_they_are_loaded(self):
        from moa_compile.search import model

        real = model.load_model

        def late(*arguments):
            loaded = real(*arguments)
            replace(self.weights, self.other_weights())
            return loaded

        with mock.patch.object(model, "load_model", late):
            status, error = self.run_profile()
        self.assertEqual((status, error.split(":")[0]), (2, "error MOA7412"))

    def test_weights_that_are_loaded_do_not_change_with_their_file(self):
        from moa_compile.search.model import load_model

        model = load_model(self.folder, torch.device("cpu"), "auto")
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        replace(self.weights, self.other_weights())
        for name, tensor in model.state_dict().items():
            self.assertTrue(torch.equal(tensor, before[name]), name)

    def test_a_validation_of_weights_that_are_replaced(self):
        from moa_compile.search import validate

        request = self.path("request.json")
        with open(request, "w", encoding="utf-8") as file:
            json.dump({"format": "moa-validation-request", "version": 1, "length": 64, "plans": [{"id": "0", "sink": 0, "windows": [[64] * 4] * 2}]}, file)
        write_lines(self.data, [line_of(64, 3)])
        real = validate.run_sample

        def replacing(*arguments):
            replace(self.weights, self.other_weights())
            return real(*arguments)

        error = io.StringIO()
        with mock.patch.object(validate, "run_sample", replacing), contextlib.redirect_stderr(error):
            status = cli.main(["validate", "--model", self.folder, "--data", self.data, "--request", request, "--output", self.output, "--device", "cpu"])
        self.assertEqual((status, error.getvalue().split(":")[0]), (2, "error MOA7412"))
        self.assertFalse(os.path.exists(self.output))


if __name__ == "__main__":
    unittest.main()
