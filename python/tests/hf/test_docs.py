"""The first lines of code in docs/python.md and README.md run as they are printed."""

import contextlib
import io
import os
import re
import unittest
import unittest.mock
from pathlib import Path

import tokenizers
import transformers

from ..runtime.packages import ROOT, obstacle, scratch
from .models import PLAN, compiled, config_of, tiny_model

REASON = obstacle()


def first_block(page: str, holding: str) -> str:
    """The first block of Python in a page with these words."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return next(block for block in blocks if holding in block)


def save_model(folder: Path) -> None:
    """Writes a tiny random model and a tokenizer, of which each letter is a token."""
    tiny_model().save_pretrained(folder)
    letters = {chr(code): code - 93 for code in range(ord("a"), ord("z") + 1)}
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, " ": 3, **letters}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=" "))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    inner.decoder = tokenizers.decoders.Fuse()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token=" "
    )
    tokenizer.save_pretrained(folder)


@unittest.skipIf(REASON is not None, REASON)
class Docs(unittest.TestCase):
    def test_five_lines_to_text(self) -> None:
        folder = scratch() / "five-lines"
        save_model(folder / "my-model")
        package = compiled("five-lines-package", PLAN, config_of("llama"))
        (folder / "generated").mkdir()
        (folder / "generated/my-model").symlink_to(package)
        before = os.getcwd()
        texts = set()
        for page in ("README.md", "docs/python.md"):
            block = first_block(page, "moa_compile.attach(")
            lines = [line for line in block.splitlines() if line.strip()]
            self.assertLessEqual(len(lines), 5, page)
            out = io.StringIO()
            os.chdir(folder)
            try:
                with (
                    contextlib.redirect_stdout(out),
                    unittest.mock.patch("torch.cuda.is_available", lambda: False),
                ):
                    exec(compile(block, page, "exec"), {})
            finally:
                os.chdir(before)
            texts.add(out.getvalue())
        self.assertEqual(len(texts), 1)
        self.assertRegex(texts.pop(), r"^once upon a time.{5,}\n$")
