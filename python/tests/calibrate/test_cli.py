"""The command line of `calibrate`: what it refuses, by number."""

import json
import os
import shutil
import subprocess
import sys
import unittest
from unittest import mock

from .support import WithModel, knowing, tiny_model


class CommandLine(WithModel):
    def test_options(self):
        for more, says in (
            (["--kinds", "lines,sums"], "'sums' is none of lines, pairs, needles, facts"),
            (["--kinds", ""], "''"),
            (["--samples", "0"], "--samples"),
            (["--answer-tokens", "x"], "invalid int value: 'x'"),
            (["--answer-tokens", "512"], "--answer-tokens: the length 512"),
            (["--seed", "-1"], "--seed"),
            (["--batch", "0"], "--batch"),
            (["--prompt", "xml"], "--prompt"),
            (["--keep-right", "--keep-all"], "not allowed with"),
            (["--questions", "a", "--texts", "b"], "not allowed with"),
            (["--questions", "a", "--kinds", "lines"], "--kinds are of our own"),
            (["--texts", "a", "--kinds", "lines,facts"], "--texts are for needles"),
            (["--lengths", "500"], "'500'"),
        ):
            with self.subTest(more):
                self.fails("MOA7404", says, self.arguments(*more))
        self.fails("MOA7404", "--output", ["calibrate", "--model", "m", "--lengths", "512"])
        command = [sys.executable, "-m", "moa_compile", "calibrate", "--help"]
        self.assertEqual(subprocess.run(command, capture_output=True).returncode, 0)

    def test_torch_is_not_imported_for_a_check_of_the_line(self):
        script = (
            "import sys; from moa_compile.__main__ import main; assert 'torch' not in sys.modules"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", script]).returncode, 0)

    def test_questions(self):
        good = {"context": "a", "question": "b", "answer": "c"}
        for line, says in (
            ("{", "no JSON"),
            ("[]", "no JSON object"),
            ("[" * 100_000, "nested too deeply"),
            ({"question": "b"}, '"context" is missing'),
            ({"context": " ", "question": "b"}, '"context" is no text'),
            ({"context": "a", "question": 5}, '"question" is no text'),
            ({**good, "answer": 5}, '"answer" is no text'),
            ({**good, "context": "a\ud800"}, "no UTF-8 text"),
            ({**good, "evidence": 5}, '"evidence" is no list'),
            ({**good, "evidence": [[0, 2]]}, "[0, 2] is no [from, to] within the 1 characters"),
            ({**good, "evidence": [[1, 1]]}, "[1, 1] is no"),
            ({**good, "evidence": [[True, 1]]}, "[True, 1] is no"),
            ({**good, "evidence": [[0, 1, 1]]}, "is no [from, to]"),
        ):
            with self.subTest(says):
                path = self.write("q.jsonl", [good, "", line])
                error = self.fails("MOA7420", says, self.arguments("--questions", path))
                self.assertIn("q.jsonl:3:", error)
        arguments = self.arguments("--questions", self.write("empty", [""]))
        self.fails("MOA7420", "has no question", arguments)
        with open(self.path("bytes"), "wb") as file:
            file.write(b'{"context": "\xff"}\n')
        self.fails("MOA7420", "no UTF-8", self.arguments("--questions", self.path("bytes")))
        absent = self.path("absent")
        self.fails("MOA7404", "cannot be read", self.arguments("--questions", absent))
        path = self.write("q.jsonl", [good, {**good, "answer": " "}])
        error = self.fails(
            "MOA7420", 'no "answer"', self.arguments("--questions", path, "--keep-right")
        )
        self.assertIn("q.jsonl:2:", error)

    def test_contexts_that_are_too_short(self):
        lines = [{"context": "word " * count, "question": "b"} for count in (10, 200, 900)]
        arguments = self.arguments(
            *("--questions", self.write("q", lines), "--samples", "2"), lengths="512,1024"
        )
        error = self.fails("MOA7421", "length 1024: 1 of the 3 questions", arguments)
        self.assertRegex(error, r"and 2 are wanted; the longest has \d+ tokens with its prompt")

    def test_texts(self):
        self.fails("MOA7422", "cannot be read", self.arguments("--texts", self.path("absent")))
        text = self.write("short.txt", ["A sentence.\n" * 9])
        error = self.fails("MOA7422", "too little text", self.arguments("--texts", text))
        self.assertIn("short.txt", error)

    def test_lengths_that_are_too_short(self):
        arguments = self.arguments("--answer-tokens", "8", lengths="64,512")
        self.fails("MOA7423", "length 64: ", arguments)

    def test_tokenizers(self):
        folder = self.path("model")
        tiny_model().save_pretrained(folder)
        self.fails("MOA7401", "no tokenizer", self.arguments(model=folder))
        self.fails("MOA7424", "no chat template", self.arguments("--prompt", "chat"))
        shutil.copytree(self.model_folder, folder, dirs_exist_ok=True)
        small = tiny_model(vocab_size=300)
        small.save_pretrained(folder)
        self.fails(
            "MOA7401", "and the model's vocabulary ends at 299", self.arguments(model=folder)
        )
        path = os.path.join(folder, "tokenizer_config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**config, "chat_template": "{{ raise_exception('no users') }}"}, file)
        self.fails("MOA7424", "no users", self.arguments(model=folder))
        self.fails("MOA7401", "no config.json", self.arguments(model=self.path("absent")))

    def test_no_padding_and_no_end_are_needed(self):
        folder = self.path("model")
        shutil.copytree(self.model_folder, folder)
        for name, keys in (
            ("tokenizer_config.json", ["eos_token", "pad_token", "bos_token"]),
            ("generation_config.json", ["eos_token_id"]),
            ("config.json", ["eos_token_id"]),
        ):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                config = {key: value for key, value in json.load(file).items() if key not in keys}
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config, file)
        lines, _ = self.calibrated("--samples", "3", "--keep-all", model=folder)
        for line in lines:
            self.assertEqual(set(line["input_ids"][line["tokens"] :]) - {0}, set())

    def test_outputs(self):
        arguments = self.arguments(output=self.path("nowhere/out"))
        self.fails("MOA7409", "nowhere", arguments, status=1)
        self.fails("MOA7409", "it is a folder", self.arguments(output=self.root), status=1)
        full = mock.patch("os.fsync", side_effect=OSError(28, "No space left on device"))
        with full, knowing():
            self.fails("MOA7409", "No space left", self.arguments("--samples", "1"), status=1)

    def test_a_reader_that_has_seen_enough(self):
        script = (
            "from moa_compile.command_line.output import print_result\n"
            "for _ in range(3): print_result('a line of the summary\\n' * 9999)"
        )
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.returncode, 0)

    def test_quiet_and_positions(self):
        with knowing():
            lines, said = self.calibrated("--samples", "1", "--quiet")
            self.assertEqual(said, "")
            folder = self.path("short")
            shutil.copytree(self.model_folder, folder)
            tiny_model(max_position_embeddings=256).save_pretrained(folder)
            arguments = self.arguments("--samples", "1", "--quiet", model=folder)
            status, out, error = self.run_main(arguments)
        warning = "warning: length 512 is more than the 256 positions that the model was made for\n"
        self.assertEqual((status, out, error), (0, "", warning))


if __name__ == "__main__":
    unittest.main()
