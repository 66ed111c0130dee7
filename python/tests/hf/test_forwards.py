"""Forwards of attached models without `generate`."""

import torch

import moa_compile

from .models import cache_in, given, texts
from .support import BOUND, WithCache, pool_of


class Forwards(WithCache):
    def test_with_a_cache(self) -> None:
        """A prompt in chunks, then single tokens and several."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=2)
        ids, at = torch.stack(texts(230, 230)), 0
        for count in (150, 1, 1, 70, 3, 5):
            output = self.forward(input_ids=ids[:, at : at + count], **given(cache))
            at += count
            self.assertIs(cache_in(output), cache)
            self.near(output.logits, ids[:, :at])
            self.assertEqual(cache.get_seq_length(), at)
        self.assertEqual(cache.content.session.lengths(1), [230, 230])

    def test_with_padding_anywhere(self) -> None:
        """Rows bring their tokens alone: padding on the left, on the right and in the middle, and a
        chunk in which a row has none."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=3)
        ids = torch.stack(texts(240, 240, 240))
        mask = torch.ones(3, 240, dtype=torch.long)
        mask[0, :170], mask[1, 100:130], mask[2, 220:] = 0, 0, 0
        at = 0
        for count in (150, 60, 1, 29):
            columns = slice(at, at + count)
            at += count
            output = self.forward(
                input_ids=ids[:, columns], attention_mask=mask[:, :at], **given(cache)
            )
            # Positions count padding here, as they do in the reference.
            self.near(output.logits, ids[:, :at], attention_mask=mask[:, :at])
            self.assertEqual(cache.content.lengths(), mask[:, :at].sum(1).tolist())

    def test_without_a_cache(self) -> None:
        """Prefill alone; the session is given back."""
        ids = torch.stack(texts(200, 200))
        output = self.forward(input_ids=ids, use_cache=False)
        self.near(output.logits, ids)
        self.assertIsNone(cache_in(output) if len(output) > 1 else None)
        self.assertEqual((pool_of(self.model).used, pool_of(self.model).idle), (0, 1))

    def test_that_makes_a_cache(self) -> None:
        """As models do by default: the cache has the bound of attach."""
        ids = texts(200)[0][None]
        output = self.forward(input_ids=ids[:, :190])
        cache = cache_in(output)
        self.assertIsInstance(cache, moa_compile.hf.MoaCache)
        self.assertEqual(cache.length_bound, BOUND)
        output = self.forward(input_ids=ids[:, 190:], **given(cache))
        self.near(output.logits, ids)

    def test_generation_without_a_cache(self) -> None:
        ids = texts(190)[0][None]
        arguments = {"max_new_tokens": 4, "do_sample": False}
        ours = self.model.generate(ids, **arguments, use_cache=False)
        theirs = self.reference.generate(BOUND, input_ids=ids, **arguments)
        self.same_text(ours, theirs, self.reference, BOUND)
        other, _ = self.attached()
        self.refused(
            "MOA6308",
            "generation without a cache is not known",
            lambda: other.generate(ids, **arguments, use_cache=False),
        )

    def test_hidden_states(self) -> None:
        output = self.forward(input_ids=texts(9)[0][None], output_hidden_states=True)
        self.assertEqual(len(output.hidden_states), 3)

    def test_arguments_by_position(self) -> None:
        """The decoder itself, which makes the cache that it is not given."""
        ids = texts(30)[0][None]
        embeds = self.model.get_input_embeddings()(ids)
        decoder = self.model.model
        with torch.no_grad():
            expected = decoder(ids).last_hidden_state
            for arguments in ((ids, None, None, None), (None, None, None, None, embeds)):
                output = decoder(*arguments)
                self.assertTrue(torch.equal(output.last_hidden_state, expected))
                self.assertIsInstance(cache_in(output), moa_compile.hf.MoaCache)
