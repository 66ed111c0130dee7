"""Right answers: kept alone where that is asked for, and missed early where there are none."""

import json
import unittest
from unittest import mock

from ..tasks.tokenizers_of_tests import small_bpe
from .support import WithModel, bytes_of, knowing


class Right(WithModel):
    def test_only_right_answers_are_kept(self):
        common = ("--samples", "6", "--kinds", "lines,pairs,facts", "--batch", "4")
        with knowing(lambda number, kind: number % 3 != 1):
            lines, said = self.calibrated("--keep-right", *common, lengths="512,640")
        self.assertEqual([line["length"] for line in lines], [512] * 6 + [640] * 6)
        self.assertEqual([line["right"] for line in lines], [True] * 12)
        self.assertEqual(len({line["question"] for line in lines}), 12)
        for line in lines:
            self.assertIn(line["reference"], line["response"])
        for kind in ("lines", "pairs", "facts"):
            self.assertEqual(sum(line["kind"] == kind for line in lines), 4)
        self.assertRegex(
            said, r"out.jsonl: 12 samples; the dense model answered 12 of 1[5-9] right"
        )
        with knowing(lambda number, kind: number % 3 != 1):
            every, _ = self.calibrated(*common, output=self.path("all"))
        self.assertEqual([line["right"] for line in every], [True, False, True] * 2)

    def test_answers_of_several_parts(self):
        with knowing():
            lines, _ = self.calibrated("--keep-right", "--kinds", "needles", "--samples", "24")
        self.assertEqual({line["reference"].count(";") for line in lines}, {0, 1, 2})

    def test_a_model_that_is_never_right(self):
        arguments = self.arguments("--samples", "40", "--batch", "4")
        with knowing(lambda number, kind: False) as answers:
            error = self.fails("MOA7425", "none of the first 8 questions right", arguments)
        self.assertEqual(sum(map(len, answers.calls)), 8)
        self.assertIn('was right it said "The answer is not here."', error)
        # The same command says so again, without the model; --keep-all goes on.
        with knowing() as answers:
            self.fails("MOA7425", "none of the first 8", arguments)
            self.assertEqual(answers.calls, [])
            lines, _ = self.calibrated("--samples", "40", "--batch", "4", "--keep-all")
        self.assertEqual([line["right"] for line in lines], [False] * 8 + [True] * 32)

    def test_a_few_questions_none_of_them_right(self):
        with knowing(lambda number, kind: False):
            self.fails("MOA7425", "first 2 questions", self.arguments("--samples", "2"))
        with knowing(lambda number, kind: number == 7):
            self.calibrated("--samples", "40", "--keep-all", output=self.path("late"))
        with knowing(lambda number, kind: number == 7):
            self.calibrated("--samples", "9", "--batch", "3", output=self.path("in time"))

    def test_a_kind_that_is_hardly_ever_right(self):
        with knowing(lambda number, kind: kind == "lines" or number == 5):
            arguments = self.arguments(
                *("--keep-right", "--samples", "4", "--kinds", "lines,facts", "--batch", "2")
            )
            error = self.fails("MOA7426", "length 512, kind facts", arguments)
        self.assertIn("answered 1 of 16 questions right, and 2 right ones are wanted", error)

    def test_own_questions_that_run_out(self):
        context = " ".join(f"word{n}" for n in range(400))
        lines = [{"context": context, "question": f"Q{n}?", "answer": "x"} for n in range(9)]
        path = self.write("q", lines)

        def said(model, prompts, most, ends):
            # Only the fourth is right.
            texts = [" x" if "Q3?" in small_bpe().decode(p) else " no" for p in prompts]
            return [small_bpe()(text, add_special_tokens=False)["input_ids"] for text in texts]

        with mock.patch("moa_compile.calibrate.asker.greedy_answers", said):
            (line,), _ = self.calibrated("--questions", path, "--keep-right", "--samples", "1")
            self.assertEqual(line["question"], "Q3?")
            arguments = self.arguments(
                *("--questions", path, "--keep-right", "--samples", "2"), output=self.path("two")
            )
            self.fails("MOA7426", "kind own: the dense model answered 1 of 9", arguments)

    def test_right_answers_do_not_depend_on_how_many_are_asked_at_once(self):
        """One question after the other: the rest of a batch is not kept twice."""
        found = set()
        for batch in ("1", "3"):
            with knowing():
                self.calibrated(
                    *("--keep-right", "--samples", "5", "--batch", batch), output=self.path(batch)
                )
            found.add(bytes_of(self.path(batch)))
        self.assertEqual(len(found), 1)
        lines = [json.loads(line) for line in next(iter(found)).splitlines()]
        self.assertEqual(len(lines), 5)


if __name__ == "__main__":
    unittest.main()
