"""The largest size that fits, against trying all of them."""

import itertools
import random
import unittest
from unittest import mock

from moa_compile.tasks.fit import largest_fit


class LargestFit(unittest.TestCase):
    def test_all_small_cases(self):
        for steps in itertools.product(range(3), repeat=5):
            sizes = list(itertools.accumulate(steps, initial=1))
            for tokens in range(13):
                for least in (0, 2):
                    fitting = [s for s in range(least, 6) if sizes[s] <= tokens]
                    found = largest_fit(sizes.__getitem__, tokens, least, 5)
                    with self.subTest(sizes=sizes, tokens=tokens, least=least):
                        # Sizes that fill the tokens are as good as each other.
                        best = max((sizes[s] for s in fitting), default=None)
                        self.assertEqual(None if found is None else sizes[found], best)

    def test_uneven_and_long(self):
        for seed in range(60):
            generator = random.Random(seed)
            steps = [generator.choice((0, 1, 5, 9, 40)) for _ in range(4000)]
            sizes = list(itertools.accumulate(steps, initial=3))
            tokens = generator.randrange(3, sizes[-1] + 50)
            measure = mock.Mock(side_effect=sizes.__getitem__)
            found = largest_fit(measure, tokens, 0, 4000)
            self.assertEqual(sizes[found], max(size for size in sizes if size <= tokens))
            self.assertLess(measure.call_count, 26)
            close = largest_fit(sizes.__getitem__, tokens, 0, 4000, slack=45)
            self.assertLessEqual(tokens - 45 if close < 4000 else 0, sizes[close])
            self.assertLessEqual(sizes[close], tokens)

    def test_what_does_not_rise_still_fits(self):
        for seed in range(200):
            generator = random.Random(seed)
            sizes = [generator.randrange(40) for _ in range(50)]
            found = largest_fit(sizes.__getitem__, 20, 0, 49)
            self.assertTrue(sizes[0] > 20 if found is None else sizes[found] <= 20)


if __name__ == "__main__":
    unittest.main()
