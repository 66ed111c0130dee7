"""A tiny random model with a tokenizer, and a stand-in for a model that knows some answers."""

import contextlib
import io
import json
import os
import re
import tempfile
import unittest
from unittest import mock

import torch
import transformers

from moa_compile.__main__ import COMMANDS
from moa_compile.command_line.run import run_commands

from ..tasks.solver import solve
from ..tasks.tokenizers_of_tests import small_bpe

torch.set_num_threads(1)
transformers.logging.disable_progress_bar()
transformers.logging.set_verbosity_error()

VOCABULARY = 400


def tiny_model(**changes):
    """A random Llama in float32 on the CPU."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "initializer_range": 0.2,
    }
    config = transformers.LlamaConfig(**{**shape, **changes})
    return transformers.LlamaForCausalLM(config).eval().requires_grad_(False)


HEADS = {"record of lines": "lines", "JSON object": "pairs", "numbered facts": "facts"}


class Knowing:
    """Takes the place of `greedy_answers`: reads the question in the prompt, and answers right if
    `knows` says so of the question's number, counted over all, and its kind."""

    def __init__(self, knows):
        self.knows = knows
        self.calls = []

    def __call__(self, model, prompts, most, ends):
        answers = []
        for prompt in prompts:
            text = small_bpe().decode(prompt)
            context, question = text.rsplit("\n\n", 1)
            question = re.sub(r"\s*(Answer:|<\|end\|><\|assistant\|>)\Z", "", question)
            kind = next((HEADS[head] for head in HEADS if head in context[:60]), "needles")
            asked = mock.Mock(kind=kind, context=context.strip(), question=question)
            right = self.knows(sum(map(len, self.calls)) + len(answers), kind)
            said = f" The answer is {solve(asked) if right else 'not here'}."
            answers.append(small_bpe()(said, add_special_tokens=False)["input_ids"][:most] + [1])
        self.calls.append(prompts)
        return answers


def knowing(knows=lambda number, kind: True):
    return mock.patch("moa_compile.calibrate.asker.greedy_answers", Knowing(knows))


class WithModel(unittest.TestCase):
    """Tests that share a folder with a tiny model and its tokenizer; `self.path(name)` is a new
    place for each test."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.root = scratch.name
        cls.model_folder = os.path.join(cls.root, "model")
        tiny_model().save_pretrained(cls.model_folder)
        small_bpe().save_pretrained(cls.model_folder)

    def path(self, name):
        folder = os.path.join(self.root, self.id().rsplit(".", 1)[-1])
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name)

    def write(self, name, lines):
        with open(self.path(name), "w", encoding="utf-8") as file:
            for line in lines:
                file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        return self.path(name)

    def arguments(self, *more, lengths="512", model=None, output=None):
        return [
            *("calibrate", "--model", model or self.model_folder, "--lengths", lengths),
            *("--output", output or self.path("out.jsonl"), "--device", "cpu", *more),
        ]

    def run_main(self, arguments):
        """(status, stdout, stderr)"""
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = run_commands(COMMANDS, arguments)
        return status, out.getvalue(), error.getvalue()

    def calibrated(self, *more, **others):
        """The lines of the output, and what was said."""
        arguments = self.arguments(*more, **others)
        status, out, error = self.run_main(arguments)
        self.assertEqual((status, error), (0, ""))
        with open(arguments[arguments.index("--output") + 1], encoding="utf-8") as file:
            return [json.loads(line) for line in file], out

    def fails(self, code, says, arguments, status=2):
        found, out, error = self.run_main(arguments)
        self.assertRegex(error, rf"\Aerror {code}: [^\n]+\n    help: [^\n]+\n\Z")
        self.assertIn(says, error)
        self.assertEqual((found, out), (status, ""))
        return error


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()
