"""Contexts that are cut: as long as they may be, without their middle, with their evidence."""

import random
import unittest

from moa_compile.tasks import Question, cut_context

from .tokenizers_of_tests import LENGTHS

MARK = "[...]"


def question_of(context, *evidence):
    return Question("own", context, "What?", "", None, evidence)


def words(count):
    return " ".join(f"word{n}" for n in range(count))


class Cut(unittest.TestCase):
    def test_what_fits_is_left_alone(self):
        question = question_of(words(20), (0, 5))
        self.assertIs(cut_context(question, len, len(question.context)), question)

    def test_both_ends_stay_and_tokens_are_filled(self):
        text = words(3000)
        for name, length_of in LENGTHS.items():
            for tokens in (400, 1500, length_of(text) - 1):
                with self.subTest(tokenizer=name, tokens=tokens):
                    cut = cut_context(question_of(text), length_of, tokens).context
                    self.assertLessEqual(length_of(cut), tokens)
                    self.assertGreaterEqual(length_of(cut), 0.97 * tokens)
                    head, tail = cut.split(f"\n{MARK}\n")
                    self.assertTrue(text.startswith(head + " ") and text.endswith(" " + tail))
                    self.assertLess(abs(len(head) - len(tail)), 60)

    def test_the_evidence_stays(self):
        text = words(2000)
        for seed in range(200):
            generator = random.Random(seed)
            evidence = []
            for _ in range(generator.randrange(1, 4)):
                begin = generator.choice((0, generator.randrange(len(text) - 80)))
                end = begin + generator.randrange(1, 80)
                evidence.append(generator.choice(((begin, end), (len(text) - 50, len(text)))))
            question = question_of(text, *evidence)
            tokens = generator.randrange(700, len(text))
            cut = cut_context(question, len, tokens)
            with self.subTest(seed=seed):
                self.assertLessEqual(len(cut.context), tokens)
                self.assertGreaterEqual(len(cut.context), 0.9 * tokens)
                before = [text[begin:end] for begin, end in evidence]
                self.assertEqual([cut.context[b:e] for b, e in cut.evidence], before)
                self.assertEqual(cut.depth, cut.evidence[0][0] / len(cut.context))
                for part in cut.context.split(f"\n{MARK}\n"):
                    self.assertIn(part, text)

    def test_evidence_that_does_not_fit(self):
        self.assertIsNone(cut_context(question_of(words(500), (100, 900)), len, 300))


if __name__ == "__main__":
    unittest.main()
