"""Prompts with and without a chat template, and what counts as a right answer."""

import unittest
from unittest import mock

from moa_compile.search.codes import MoaError
from moa_compile.tasks import Question, encode, holds, render

from .tokenizers_of_tests import CHAT, Characters, small_bpe

QUESTION = Question("lines", "A context.", "What is it?", "5", 0.5)
PLAIN = "A context.\n\nWhat is it?\nAnswer:"


class Prompt(unittest.TestCase):
    def test_plain(self):
        tokenizer = Characters()
        self.assertEqual(render(tokenizer, QUESTION), PLAIN)
        self.assertEqual(encode(tokenizer, QUESTION), [1, *map(ord, PLAIN)])
        tokenizer.bos_token_id = None
        self.assertEqual(encode(tokenizer, QUESTION), [*map(ord, PLAIN)])

    def test_chat(self):
        tokenizer = small_bpe()
        self.assertEqual(render(tokenizer, QUESTION), PLAIN)
        with mock.patch.object(tokenizer, "chat_template", CHAT):
            chat = "<|user|>A context.\n\nWhat is it?<|end|><|assistant|>"
            self.assertEqual(render(tokenizer, QUESTION), chat)
            self.assertEqual(render(tokenizer, QUESTION, "chat"), chat)
            self.assertEqual(render(tokenizer, QUESTION, "plain"), PLAIN)
            self.assertEqual(tokenizer.decode(encode(tokenizer, QUESTION)), chat)

    def fails(self, says, tokenizer):
        with self.assertRaises(MoaError) as caught:
            render(tokenizer, QUESTION, "chat")
        self.assertEqual(caught.exception.code, "MOA7424")
        self.assertIn(says, str(caught.exception))

    def test_templates_that_are_none(self):
        self.fails("no chat template", Characters())
        self.fails("no chat template", small_bpe())
        with mock.patch.object(small_bpe(), "chat_template", "{{ raise_exception('no users') }}"):
            self.fails("no users", small_bpe())


class Right(unittest.TestCase):
    def test_answers(self):
        for answer, said, expected in (
            ("48213", "The number is <48213>.", True),
            ("48213", "48,213", True),
            ("48213", "148213", False),
            ("48213", "48213.5", False),
            ("48213", "482 13", False),
            ("3.5", "it is 3.5.", True),
            ("3.5", "it is 13.5", False),
            ("Paris, France", "in paris\nFrance!", True),
            ("Paris", "Parisian", False),
            ("Paris", "", False),
            ("", "anything", False),
            (" ; ", "anything", False),
            ("12; 34", "34 and 12", True),
            ("12; 34", "12", False),
            ("04be77d1", 'The value is "04BE77D1".', True),
            ("北京", "答案是北京。", True),
            ("Straße", "STRASSE", True),
            ("don't", "I don\u2019t", True),
        ):
            with self.subTest(answer=answer, said=said):
                self.assertEqual(holds(answer, said), expected)


if __name__ == "__main__":
    unittest.main()
