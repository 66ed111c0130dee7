"""Sessions that are kept, and memory that is freed, also after errors."""

import gc

import torch
import transformers

import moa_compile

from .models import given, texts, tiny_model
from .support import BOUND, WithCache, pool_of


class Memory(WithCache):
    """Sessions are kept for those whom they fit, and nobody else holds memory."""

    def counts(self) -> tuple[int, int]:
        gc.collect()
        return pool_of(self.model).used, pool_of(self.model).idle

    def test_sessions_are_kept(self) -> None:
        ids = torch.stack(texts(100, 100))
        arguments = {"max_new_tokens": 3, "do_sample": False}
        self.model.generate(ids, **arguments)
        kept = pool_of(self.model)._idle[0]
        first = self.model.generate(ids[:1], **arguments)
        self.assertIs(pool_of(self.model)._idle[0], kept)
        self.assertEqual(self.counts(), (0, 1))
        # Three rows do not fit: it is freed before another is made.
        three = self.model.generate(ids[[0, 1, 0]], **arguments)
        self.assertIsNot(pool_of(self.model)._idle[0], kept)
        self.assertEqual(self.counts(), (0, 1))
        self.refused("MOA6005", "after it was closed", lambda: kept.usage())
        self.assertEqual(first[0].tolist(), three[0].tolist())
        moa_compile.hf.release_memory(self.model)
        self.assertEqual(self.counts(), (0, 0))

    def test_two_caches_at_once(self) -> None:
        caches = [moa_compile.hf.new_cache(self.model, batch_size=1) for _ in range(2)]
        ids = torch.stack(texts(150, 150))
        for cache, row in zip(caches, ids):
            self.forward(input_ids=row[None, :149], **given(cache))
        self.assertEqual(self.counts(), (2, 0))
        for cache, row in zip(caches, ids):
            self.near(self.forward(input_ids=row[None, 149:], **given(cache)).logits, row[None])
        caches[0].close()
        self.refused(
            "MOA6304",
            "the cache cannot be used: it was closed",
            lambda: self.forward(input_ids=ids[:1], **given(caches[0])),
        )
        caches.clear()
        del cache
        self.assertEqual(self.counts(), (0, 2))

    def cancelled(self, error: BaseException, **arguments) -> None:
        ids = texts(150)[0][None]
        try:
            self.model.generate(ids, max_new_tokens=5, **arguments)
            self.fail("nothing was raised")
        except type(error) as caught:
            # Freed at once, though frames of the traceback hold the cache. Where memory is short
            # nothing is kept.
            kept = 0 if isinstance(error, torch.OutOfMemoryError) else 1
            self.assertEqual(self.counts(), (0, kept))
            self.assertIsNotNone(caught.__traceback__)
        text = self.model.generate(ids, max_new_tokens=5, do_sample=False)
        theirs = self.reference.generate(BOUND, input_ids=ids, max_new_tokens=5, do_sample=False)
        self.same_text(text, theirs, self.reference, BOUND)

    def test_after_errors(self) -> None:
        """In a hook of a layer, between layers, and in what generate calls."""
        for error in (RuntimeError("a hook"), KeyboardInterrupt(), torch.OutOfMemoryError("full")):
            calls = []

            def hook(*_, error=error, calls=calls) -> None:
                calls.append(1)
                if len(calls) == 3:
                    raise error

            last = self.model.model.layers[1]
            handle = last.register_forward_pre_hook(hook)
            try:
                self.cancelled(error)
            finally:
                handle.remove()

        class Streamer(transformers.generation.streamers.BaseStreamer):
            def put(self, value) -> None:
                if value.numel() == 1:
                    raise KeyboardInterrupt

            def end(self) -> None: ...

        self.cancelled(KeyboardInterrupt(), streamer=Streamer())
        moa_compile.detach(self.model)
        ids = texts(150)[0][None]
        self.assertTrue(torch.equal(self.forward(input_ids=ids).logits, tiny_model()(ids).logits))

    def test_a_cache_after_an_error(self) -> None:
        """Some layers have the tokens and others not: it is closed."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=1)

        def hook(*_) -> None:
            raise RuntimeError("a hook")

        handle = self.model.model.layers[1].register_forward_pre_hook(hook)
        with self.assertRaisesRegex(RuntimeError, "a hook"):
            self.forward(input_ids=texts(9)[0][None], **given(cache))
        handle.remove()
        self.assertEqual(self.counts(), (0, 1))
        self.refused(
            "MOA6304",
            "a forward through it failed",
            lambda: self.forward(input_ids=texts(9)[0][None], **given(cache)),
        )

    def test_a_forward_that_was_cancelled(self) -> None:
        """torch calls no hook after a KeyboardInterrupt: the next forward finds out."""

        def hook(*_) -> None:
            raise KeyboardInterrupt

        ids = texts(9)[0][None]
        cache = moa_compile.hf.new_cache(self.model, batch_size=1)
        for arguments in ({"use_cache": False}, given(cache)):
            handle = self.model.model.layers[1].register_forward_pre_hook(hook)
            with self.assertRaises(KeyboardInterrupt):
                self.forward(input_ids=ids, **arguments)
            handle.remove()
            self.forward(input_ids=ids, use_cache=False)
            self.assertEqual(self.counts()[0], 0)
        self.refused(
            "MOA6304",
            "a forward through it failed",
            lambda: self.forward(input_ids=ids, **given(cache)),
        )

    def test_a_forward_that_is_refused_changes_nothing(self) -> None:
        cache = moa_compile.hf.new_cache(self.model, batch_size=1)
        ids = texts(150)[0][None]
        self.forward(input_ids=ids[:, :149], **given(cache))
        four = torch.zeros(1, 1, 1, 150)
        self.refused(
            "MOA6305",
            "a mask of one's own",
            lambda: self.forward(input_ids=ids[:, 149:], attention_mask=four, **given(cache)),
        )
        self.near(self.forward(input_ids=ids[:, 149:], **given(cache)).logits, ids)

    def test_detach_frees_all(self) -> None:
        cache = moa_compile.hf.new_cache(self.model, batch_size=1)
        self.forward(input_ids=texts(9)[0][None], **given(cache))
        pool = pool_of(self.model)
        session = cache.content.session
        moa_compile.detach(self.model)
        self.assertEqual((pool.used, pool.idle), (0, 0))
        self.refused("MOA6005", "after it was closed", lambda: session.usage())
        dense = tiny_model()
        ids = texts(9)[0][None]
        self.assertTrue(torch.equal(self.forward(input_ids=ids).logits, dense(ids).logits))
        del cache
        gc.collect()
        self.assertEqual(pool.idle, 0)
