"""The effective mask: the table that TypeScript's function is held to as well, and what the masked run makes of it."""

import json
import os
import unittest

import torch

from moa_compile.search.effective_mask import Mask, effective_mask, within_model
from moa_compile.search.masked import masked_attention

from .reference import whole_attention
from .tiny import SLIDING, VOCABULARY, tiny_model

TABLE = os.path.join(os.path.dirname(__file__), "effective_mask.json")


class EffectiveMask(unittest.TestCase):
    def test_the_table_that_typescript_is_held_to(self):
        with open(TABLE, encoding="utf-8") as file:
            rows = json.load(file)
        self.assertGreater(len(rows), 10)
        for row in rows:
            with self.subTest(row):
                mask = effective_mask(row["span"], row["sink"], row["modelWindow"])
                self.assertEqual(mask, Mask(**row["expected"]))
                self.assertEqual(within_model(mask, row["modelWindow"]), mask)

    def test_masked_runs_attend_just_that(self):
        """Also where a window of the model is longer than the sequence: the layer has no sink there either."""
        generator = torch.Generator().manual_seed(5)
        spans = torch.randint(2, 5, (2, 4), generator=generator) * 64
        for family in SLIDING:
            for tokens in (150, 30):
                with self.subTest(family, tokens=tokens):
                    model = tiny_model(family)
                    masks = [[effective_mask(int(span), 64, own) for span in row] for row, own in zip(spans, SLIDING[family])]
                    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)
                    extra = torch.stack([torch.stack([(i - j < mask.window) | (j < mask.sink) for mask in row]) for row in masks])
                    ids = torch.randint(VOCABULARY, (2, tokens), generator=generator)
                    with whole_attention(model, extra), torch.no_grad():
                        expected = model(input_ids=ids, use_cache=False).logits
                    with masked_attention(model, [[mask.window for mask in row] for row in masks], 64):
                        found = model(input_ids=ids, use_cache=False).logits
                    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    unittest.main()
