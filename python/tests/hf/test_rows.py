"""Rows of a cache that share sequences: copies of a prompt, beams, selections; and tokens that are
taken back."""

import copy

import torch
import transformers

import moa_compile

from .models import given, padded, texts
from .support import WithCache, pool_of

_COUNTS_BACK = int(transformers.__version__.split(".")[0]) >= 5


class Rows(WithCache):
    def filled(self, count: int = 190, rows: int = 1, most: int = 6):
        cache = moa_compile.hf.new_cache(self.model, batch_size=most)
        ids = torch.stack(texts(*[count] * rows))
        self.forward(input_ids=ids, **given(cache))
        return cache, ids

    def test_copies_of_a_prompt_are_stored_once(self) -> None:
        """Beams, and several texts of one prompt."""
        held = []

        def note(_, scores):
            held.append(next(iter(pool_of(self.model)._used)).usage().held)
            return scores

        ids = texts(190)[0][None]
        for options in ({}, {"num_beams": 4}, {"num_return_sequences": 4, "do_sample": True}):
            self.model.generate(ids, max_new_tokens=4, logits_processor=[note], **options)
        alone, beams, samples = held[0], held[4], held[8]
        self.assertEqual((alone, alone), (beams, samples))
        # Later each has a page of its own in each ring, that which it writes.
        self.assertLess(max(held), 4 * alone)

    def test_rows_part_where_tokens_do(self) -> None:
        cache, ids = self.filled()
        cache.batch_repeat_interleave(4)
        self.assertEqual((cache.batch_size, cache.content.slots), (4, [0, 0, 0, 0]))
        ids, new = ids.repeat(4, 1), torch.tensor([[5], [6], [5], [7]])
        output = self.forward(input_ids=new, **given(cache))
        self.assertEqual(cache.content.slots, [0, 1, 0, 2])
        self.near(output.logits, torch.cat((ids, new), 1))
        more = torch.tensor([[9, 9], [9, 9], [9, 8], [9, 9]])
        output = self.forward(input_ids=more, **given(cache))
        self.assertEqual(cache.content.slots, [0, 1, 3, 2])
        self.near(output.logits, torch.cat((ids, new, more), 1))

    def test_rows_part_where_masks_do(self) -> None:
        cache, ids = self.filled()
        cache.batch_repeat_interleave(2)
        new, mask = torch.tensor([[5, 6], [5, 6]]), torch.ones(2, 192, dtype=torch.long)
        mask[1, 190] = 0
        output = self.forward(input_ids=new, attention_mask=mask, **given(cache))
        self.assertEqual((cache.content.slots, cache.content.lengths()), ([0, 1], [192, 191]))
        whole = torch.cat((ids.repeat(2, 1), new), 1)
        self.near(output.logits, whole, attention_mask=mask)

    def test_reorder_and_select(self) -> None:
        cache, ids = self.filled(rows=3)
        cache.reorder_cache(torch.tensor([2, 2, 0]))
        self.assertEqual(cache.content.slots, [2, 2, 0])
        self.assertEqual(cache.content.session.lengths(0)[1], -1)
        ids, new = ids[[2, 2, 0]], torch.tensor([[5], [6], [7]])
        output = self.forward(input_ids=new, **given(cache))
        self.near(output.logits, torch.cat((ids, new), 1))
        cache.batch_select_indices(torch.tensor([False, True, True]))
        ids = torch.cat((ids, new), 1)[1:]
        new = torch.tensor([[9], [9]])
        output = self.forward(input_ids=new, **given(cache))
        self.near(output.logits, torch.cat((ids, new), 1))
        self.refused(
            "MOA6304",
            "8 rows; the cache was made for 6",
            lambda: cache.batch_repeat_interleave(4),
        )

    def test_rows_with_padding_are_selected_with_it(self) -> None:
        cache = moa_compile.hf.new_cache(self.model, batch_size=2)
        batch = padded(texts(190, 120))
        self.forward(**batch, **given(cache))
        cache.reorder_cache(torch.tensor([1, 1]))
        new = torch.tensor([[5], [6]])
        ids = torch.cat((batch["input_ids"][[1, 1]], new), 1)
        mask = torch.nn.functional.pad(batch["attention_mask"][[1, 1]], (0, 1), value=1)
        output = self.forward(input_ids=new, attention_mask=mask, **given(cache))
        self.near(output.logits, ids, attention_mask=mask)
        self.assertEqual(cache.content.lengths(), [121, 121])

    def test_crop(self) -> None:
        """Columns are taken back, padding among them; beyond what rings keep it is refused."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=2)
        batch = padded(texts(120, 100))
        self.forward(**batch, **given(cache))
        version = int(transformers.__version__.split(".")[0])
        cache.crop(-30)
        self.assertEqual((cache.get_seq_length(), cache.content.lengths()), (90, [90, 70]))
        cache.crop(0 if version >= 5 else 90)
        self.assertEqual(cache.get_seq_length(), 90)
        if version >= 5:
            self.refused("MOA6304", "a negative number", lambda: cache.crop(50))
        else:
            cache.crop(85)
            self.assertEqual(cache.content.lengths(), [85, 65])
        columns = cache.get_seq_length()
        new, mask = torch.tensor([[5], [6]]), batch["attention_mask"][:, :columns]
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        ids = torch.cat((batch["input_ids"][:, :columns], new), 1)
        output = self.forward(input_ids=new, attention_mask=mask, **given(cache))
        self.near(output.logits, ids, attention_mask=mask)
        long, _ = self.filled(250)
        self.refused("MOA6110", "--slack", lambda: long.crop(-100))
        self.assertEqual(long.content.lengths(), [250])

    def test_crop_of_some_rows(self) -> None:
        """The short row loses its tokens, and the ring of the long one has lost others: no cache is
        left that is neither."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=2)
        rows = texts(50, 250)
        self.forward(**padded(rows), **given(cache))
        self.refused("MOA6110", "--slack", lambda: cache.crop(-40 if _COUNTS_BACK else 210))
        self.refused("MOA6304", "some rows lost their newest tokens", lambda: cache.reset())

    def test_reset(self) -> None:
        cache, ids = self.filled(rows=2)
        cache.reset()
        self.assertEqual((cache.get_seq_length(), cache.content.lengths()), (0, [0, 0]))
        output = self.forward(input_ids=ids[:, :50], **given(cache))
        self.near(output.logits, ids[:, :50])

    def test_copies_are_refused(self) -> None:
        cache, _ = self.filled()
        self.refused("MOA6304", "session of its own", lambda: copy.deepcopy(cache))
        self.refused("MOA6310", "cannot be copied", lambda: copy.deepcopy(self.model))
