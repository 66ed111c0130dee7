"""A device without memory: each allocation fails once. The error says what to do, nothing is held
though somebody keeps the error, and the model goes on, attached or dense."""

import gc
import unittest
from collections.abc import Callable

import torch

import moa_compile

from ..runtime.packages import Scarce
from .models import given, texts, tiny_model
from .support import BOUND, Attached, pool_of

NEW = 4


class OutOfMemory(Attached):
    def setUp(self) -> None:
        super().setUp()
        self.device = Scarce()
        self.model, self.reference = self.attached(device=self.device, length_bound=BOUND)
        self.ids = texts(150)[0][None]

    def generate(self) -> torch.Tensor:
        return self.model.generate(self.ids, max_new_tokens=NEW, do_sample=False)

    def batch(self) -> list[list[int]]:
        common = texts(70)[0]
        prompts = [torch.cat((common, each)) for each in texts(5, 9, seed=1)]
        options = {"max_new_tokens": NEW, "slots": 3, "budget": 64}
        return [each.tokens for each in moa_compile.generate_batch(self.model, prompts, **options)]

    def forward(self) -> torch.Tensor:
        with torch.no_grad():
            return self.model(self.ids, use_cache=False).logits

    def each_fails(self, call: Callable[[], object]) -> object:
        """Of a call, each allocation fails in turn. Returns what it gives at last."""
        moa_compile.hf.release_memory(self.model)
        held, before = self.device.buffers, self.device.allocations
        call()
        count = self.device.allocations - before
        self.assertGreater(count, 15)
        for left in range(count):
            moa_compile.hf.release_memory(self.model)
            self.device.left = left
            try:
                call()
                self.fail("nothing was raised")
            except moa_compile.MoaError as error:
                with self.subTest(left=left):
                    self.assertEqual(error.code, "MOA6006")
                    self.assertIn("ask for less", error.help)
                    self.assertIsNotNone(error.__traceback__)
                    self.assertEqual(self.device.buffers, held)
            finally:
                self.device.left = None
        return call()

    def dense(self) -> None:
        """Detached, the model is as it was, and nobody holds memory."""
        moa_compile.detach(self.model)
        gc.collect()
        self.assertEqual(self.device.buffers, 0)
        self.assertTrue(torch.equal(self.forward(), tiny_model()(self.ids).logits))

    def test_generate(self) -> None:
        theirs = self.reference.generate(
            BOUND, input_ids=self.ids, max_new_tokens=NEW, do_sample=False
        )
        text = self.each_fails(self.generate)
        self.same_text(text, theirs, self.reference, BOUND)
        self.dense()

    def test_generate_batch(self) -> None:
        expected = self.batch()
        self.assertEqual(self.each_fails(self.batch), expected)
        self.dense()

    def test_forward(self) -> None:
        """Its session is kept where it was whole, as after other errors, until it is released."""
        expected = self.forward()
        count = self.device.allocations
        moa_compile.hf.release_memory(self.model)
        before = self.device.allocations
        self.forward()
        count = self.device.allocations - before
        for left in range(count):
            moa_compile.hf.release_memory(self.model)
            self.assertEqual(self.device.buffers, 0)
            self.device.left = left
            self.refused("MOA6006", "bytes were asked for", self.forward)
            self.device.left = None
        self.assertTrue(torch.equal(self.forward(), expected))
        self.dense()

    def test_a_cache_without_a_session(self) -> None:
        """A cache that found no memory is as new."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=1)
        self.device.left = 3
        call = lambda: self.model(self.ids, **given(cache))
        self.refused("MOA6006", "bytes were asked for", call)
        self.device.left = None
        self.assertEqual(call().logits.shape[1], 150)

    def test_what_is_kept_makes_place(self) -> None:
        """Sessions that nobody uses are freed before memory is said to be short."""
        self.generate()
        self.assertEqual(pool_of(self.model).idle, 1)
        self.device.left = 5

        allocate = self.device.allocate

        def frees(size: int):
            # Memory comes back when the kept session is gone.
            if self.device.left is not None and pool_of(self.model).idle == 0:
                self.device.left = None
            return allocate(size)

        self.device.allocate = frees
        self.assertEqual(len(self.batch()), 2)
        self.assertEqual(pool_of(self.model).idle, 0)

    def test_memory_of_torch(self) -> None:
        """Of the model's own layers: torch's error, and nothing of ours is kept."""

        def full(*_) -> None:
            raise torch.OutOfMemoryError("full")

        handle = self.model.model.layers[1].register_forward_pre_hook(full)
        for call in (self.generate, self.batch):
            try:
                call()
                self.fail("nothing was raised")
            except torch.OutOfMemoryError as error:
                self.assertIsNotNone(error.__traceback__)
                self.assertEqual(self.device.buffers, 0)
        handle.remove()
        self.assertEqual(self.generate().shape[1], 150 + NEW)
        self.dense()


if __name__ == "__main__":
    unittest.main()
