"""Questions of every kind: how long they are, what they hold, and that they never change."""

import hashlib
import os
import tempfile
import unittest

from moa_compile.search.codes import MoaError
from moa_compile.tasks import KINDS, Texts, holds, make_question

from .solver import solve
from .tokenizers_of_tests import LENGTHS

SEEDS = range(12)


class EveryKind(unittest.TestCase):
    def questions(self, sizes=(420, 1000, 3000), seeds=SEEDS, texts=None):
        for kind in KINDS:
            for name, length_of in LENGTHS.items():
                for tokens in sizes:
                    for seed in seeds:
                        with self.subTest(kind=kind, tokenizer=name, tokens=tokens, seed=seed):
                            question = make_question(kind, length_of, tokens, None, seed, texts)
                            yield question, length_of, tokens, seed

    def test_a_context_fills_its_tokens(self):
        for question, length_of, tokens, _ in self.questions():
            length = length_of(question.context)
            self.assertLessEqual(length, tokens)
            self.assertGreaterEqual(length, min(0.98 * tokens, tokens - 12))

    def test_long_contexts_are_within_two_percent(self):
        for question, length_of, tokens, _ in self.questions(sizes=(600, 8000), seeds=(1, 2)):
            self.assertGreaterEqual(length_of(question.context), 0.98 * tokens)

    def test_the_context_has_one_answer_and_the_evidence_holds_it(self):
        for question, _, _, _ in self.questions():
            self.assertEqual(solve(question), question.answer)
            parts = question.answer.split("; ")
            for part in parts:
                self.assertEqual(question.context.count(part), 1)
                self.assertNotIn(part, question.question)
            ranges = [question.context[begin:end] for begin, end in question.evidence]
            for part, text in zip(parts, ranges):
                self.assertIn(part, text)
                self.assertLess(len(text), 100)
            self.assertEqual(len(ranges), 2 if question.kind == "facts" else len(parts))
            self.assertTrue(holds(question.answer, question.answer))

    def test_equal_arguments_give_equal_questions_and_others_do_not(self):
        contexts = set()
        for question, length_of, tokens, seed in self.questions(sizes=(500,)):
            again = make_question(question.kind, length_of, tokens, None, seed, None)
            self.assertEqual(question, again)
            contexts.add(question.context)
        self.assertEqual(len(contexts), len(KINDS) * len(LENGTHS) * len(SEEDS))

    def test_the_evidence_lies_where_the_depth_says(self):
        for kind in KINDS:
            for name, length_of in LENGTHS.items():
                for depth in (0, 0.25, 0.5, 0.9, 1):
                    with self.subTest(kind=kind, tokenizer=name, depth=depth):
                        question = make_question(kind, length_of, 4000, depth, 3, None)
                        begin, end = question.evidence[0]
                        self.assertEqual(question.depth, depth)
                        place = (begin + end) / 2 / len(question.context)
                        self.assertLess(abs(place - depth), 0.06)

    def test_few_and_short_calls_of_the_tokenizer(self):
        for kind in KINDS:
            for tokens in (1000, 30_000):
                read = 0

                def counting(text):
                    nonlocal read
                    read += len(text)
                    return len(text.split())

                question = make_question(kind, counting, tokens, 0.5, 1, None)
                with self.subTest(kind=kind, tokens=tokens):
                    self.assertLess(read, 12 * len(question.context))

    def test_they_are_what_they_always_were(self):
        """Files of one version go on in the next: a change of these is a change of the format."""
        digest = hashlib.sha256()
        found = {}
        for kind in KINDS:
            for tokens in (700, 50_000):
                question = make_question(kind, len, tokens, None, 5, None)
                digest.update(repr(question).encode())
            found[kind] = digest.hexdigest()[:12]
        self.assertEqual(found, EXPECTED)

    def test_what_cannot_be_asked(self):
        for kind in KINDS:
            with self.assertRaises(MoaError) as caught:
                make_question(kind, len, 40, None, 1, None)
            self.assertEqual(caught.exception.code, "MOA7423")
        for kind, depth in (("sums", None), ("lines", 1.5), ("lines", -0.1)):
            with self.assertRaises(ValueError):
                make_question(kind, len, 1000, depth, 1, None)


EXPECTED = {
    "lines": "79b811573209",
    "pairs": "86f2eabf57c8",
    "needles": "bd4467c00521",
    "facts": "65efe7e3c343",
}


class InTexts(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = scratch.name

    def write(self, name, content):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def test_needles_lie_between_the_sentences_of_the_texts(self):
        prose = "".join(f"Sentence {n} of the book, which is long enough.\n" for n in range(999))
        texts = Texts.read(self.write("book.txt", prose))
        for name, length_of in LENGTHS.items():
            for seed in SEEDS:
                with self.subTest(tokenizer=name, seed=seed):
                    question = make_question("needles", length_of, 1500, None, seed, texts)
                    self.assertEqual(solve(question), question.answer)
                    self.assertLessEqual(length_of(question.context), 1500)
                    self.assertGreaterEqual(length_of(question.context), 0.98 * 1500)
                    for begin, _ in question.evidence:
                        self.assertRegex(question.context[:begin], r"(^|[.\n]\s*)\Z")
        other = make_question("lines", len, 1500, None, 1, texts)
        self.assertEqual(other, make_question("lines", len, 1500, None, 1, None))

    def test_prose_without_spaces(self):
        texts = Texts.read(self.write("book.txt", "風が吹いて木の葉が落ちた。" * 400))
        for tokens in (600, 3000):
            question = make_question("needles", len, tokens, 0.5, 1, texts)
            self.assertGreaterEqual(len(question.context), 0.98 * tokens)
            self.assertEqual(solve(question), question.answer)

    def test_a_number_of_the_texts_is_not_asked_for(self):
        plain = make_question("needles", len, 3000, None, 4, None)
        number = plain.answer.split("; ")[0]
        text = f"Nothing but {number} here.\n" * 400
        question = make_question(
            "needles", len, 3000, None, 4, Texts.read(self.write("a.md", text))
        )
        self.assertNotIn(number, question.answer)

    def test_a_stretch_begins_anywhere_and_takes_each_character_once(self):
        self.write("b/two.md", "second\n\nthird\n\n")
        self.write("a.txt", "\ufefffirst\r\nline")
        self.write("c.TXT", "")
        self.write("d.py", "no prose")
        texts = Texts.read(self.root)
        self.assertEqual(texts.documents, ("first\nline", "second\n\nthird"))
        stretches = {texts.stretch(seed, texts.characters) for seed in range(40)}
        for stretch in stretches:
            words = stretch.split()
            self.assertEqual(sorted(words), ["first", "line", "second", "third"])
            for size in range(len(stretch)):
                self.assertIn(texts.stretch(3, size), texts.stretch(3, texts.characters))
                self.assertEqual(len(texts.stretch(3, size)), size)
        begins = {stretch.split()[0] for stretch in stretches}
        self.assertEqual(begins, {"first", "line", "second", "third"})
        self.assertNotEqual(texts.sha256, Texts.read(self.write("a.txt", "first")).sha256)

    def fails(self, says, path):
        with self.assertRaises(MoaError) as caught:
            Texts.read(path)
        self.assertEqual(caught.exception.code, "MOA7422")
        self.assertIn(says, str(caught.exception))

    def test_texts_that_are_none(self):
        self.fails("No such file", os.path.join(self.root, "absent"))
        self.fails("no .txt or .md file", self.root)
        self.fails("no text in it", self.write("empty.txt", " \n"))
        self.write("good.txt", "good")
        self.write("bad.md", b"good \xff")
        self.fails("bad.md is no UTF-8 text (byte 5)", self.root)

    def test_texts_that_are_too_short(self):
        texts = Texts.read(self.write("short.txt", "A sentence of the book.\n" * 20))
        with self.assertRaises(MoaError) as caught:
            make_question("needles", len, 3000, None, 1, texts)
        self.assertEqual(caught.exception.code, "MOA7422")
        self.assertIn("short.txt has too little text", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
