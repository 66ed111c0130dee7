"""Which questions come next, for every small case."""

import itertools
import unittest

from moa_compile.calibrate.tally import Tally, next_questions, shares


class Turns(unittest.TestCase):
    def test_shares(self):
        self.assertEqual(shares(7, ("a", "b", "c")), {"a": 3, "b": 2, "c": 2})
        self.assertEqual(shares(1, ("a", "b")), {"a": 1, "b": 0})

    def asked(self, samples, batch, rights, keep_right, limit):
        tallies = {kind: Tally(wanted, limit) for kind, wanted in shares(samples, KINDS).items()}
        order = []
        kept = []
        answers = itertools.cycle(rights)
        while chosen := next_questions(tallies, batch):
            self.assertLessEqual(len(chosen), batch)
            for kind, number in chosen:
                self.assertEqual(number, tallies[kind].asked)
                order.append((kind, number))
                if tallies[kind].count(next(answers), keep_right):
                    kept.append((kind, number))
        return tallies, order, kept

    def test_all_are_asked_once_and_kinds_take_turns(self):
        for samples, batch in itertools.product(range(1, 8), range(1, 6)):
            tallies, order, kept = self.asked(samples, batch, [True, False, None], False, 9)
            self.assertEqual(order, kept)
            self.assertEqual(len(set(order)), samples)
            self.assertEqual(order, self.asked(samples, 1, [None], False, 9)[1])
            self.assertFalse(any(tally.is_exhausted for tally in tallies.values()))
            for index, (kind, number) in enumerate(order):
                self.assertEqual((KINDS.index(kind), number), (index % 3, index // 3))

    def test_further_ones_are_asked_for_right_answers(self):
        for samples, batch in itertools.product(range(1, 8), range(1, 6)):
            for rights in itertools.product((True, False), repeat=3):
                tallies, order, kept = self.asked(samples, batch, rights, True, 50)
                self.assertEqual(len(order), len(set(order)))
                for tally in tallies.values():
                    self.assertLessEqual(tally.asked, 50)
                    self.assertEqual(tally.kept < tally.wanted, tally.is_exhausted)
                    self.assertLessEqual(tally.kept, tally.right)
                if all(rights):
                    self.assertEqual(len(kept), samples)
                if not any(rights):
                    self.assertEqual(kept, [])

    def test_an_answer_that_is_not_judged(self):
        tally = Tally(2, 2)
        self.assertTrue(tally.count(None, False))
        self.assertTrue(tally.count(False, False))
        self.assertEqual((tally.asked, tally.kept, tally.judged, tally.right), (2, 2, 1, 0))


KINDS = ("a", "b", "c")

if __name__ == "__main__":
    unittest.main()
