"""Attaching and detaching, and several models at once."""

from concurrent.futures import ThreadPoolExecutor

import torch

import moa_compile

from .models import given, package, texts, tiny_model
from .support import Attached


class Models(Attached):
    def test_two_models_at_once(self) -> None:
        """Forwards of two attached models in turns, and a dense one between them."""
        models = [self.attached(seed=seed) for seed in (0, 1)]
        dense = tiny_model(seed=2)
        ids = texts(200)[0][None]
        want = [
            reference.generate(207, input_ids=ids, max_new_tokens=8, do_sample=False)
            for _, reference in models
        ]
        caches = [moa_compile.hf.new_cache(m, batch_size=1, length_bound=207) for m, _ in models]
        rows = [ids, ids]
        with torch.no_grad():
            for _ in range(8):
                for index, (model, _) in enumerate(models):
                    new = rows[index][:, caches[index].get_seq_length() :]
                    logits = model(new, **given(caches[index])).logits
                    rows[index] = torch.cat((rows[index], logits[:, -1:].argmax(-1)), 1)
                    dense(new)
        for row, theirs, (_, reference) in zip(rows, want, models):
            self.same_text(row, theirs, reference, 207)

    def test_detach(self) -> None:
        model, _ = self.attached()
        dense = tiny_model()
        ids = texts(200)[0][None]
        arguments = {"max_new_tokens": 8, "do_sample": False}
        ours = model.generate(ids, **arguments)
        before = model.config._attn_implementation
        moa_compile.detach(model)
        self.assertNotEqual(before, model.config._attn_implementation)
        self.assertEqual(model.config._attn_implementation, dense.config._attn_implementation)
        self.assertFalse({"_prepare_cache_for_generation", "generate"} & set(vars(model)))
        after = model.generate(ids, **arguments)
        self.assertTrue(torch.equal(after, dense.generate(ids, **arguments)))
        self.assertFalse(torch.equal(after, ours))
        self.assertFalse(any(hasattr(module, "_moa_layer") for module in model.modules()))
        self.refused("MOA6309", "is not attached", lambda: moa_compile.detach(model))

    def test_attach_from_a_folder(self) -> None:
        model = tiny_model()
        moa_compile.attach(model, str(self.attached()[0]._moa_attachment.package.folder))
        self.addCleanup(self._detach, model)
        self.assertEqual(model.generate(texts(9)[0][None], max_new_tokens=2).shape[1], 11)
        self.refused(
            "MOA6310",
            "attached already",
            lambda: moa_compile.attach(model, model._moa_attachment.package),
        )

    def test_a_cache_outlives_no_detach(self) -> None:
        """A dense model would see the new keys alone."""
        model, _ = self.attached()
        cache = moa_compile.hf.new_cache(model, batch_size=1, length_bound=90)
        ids = texts(9)[0][None]
        model(ids, **given(cache))
        self.refused(
            "MOA6304", "a model that is not attached", lambda: tiny_model()(ids, **given(cache))
        )
        moa_compile.detach(model)
        self.refused("MOA6304", "a model that is not attached", lambda: model(ids, **given(cache)))
        moa_compile.attach(model, package())
        self.refused("MOA6304", "of an earlier attach", lambda: model(ids, **given(cache)))

    def test_threads(self) -> None:
        """Generations of one model in two threads have sessions of their own."""
        model, _ = self.attached(length_bound=230)
        rows = torch.stack(texts(200, 200))
        arguments = {"max_new_tokens": 6, "do_sample": False}
        alone = [model.generate(row[None], **arguments) for row in rows]
        with ThreadPoolExecutor(2) as threads:
            both = list(threads.map(lambda row: model.generate(row[None], **arguments), rows))
        for own, other in zip(alone, both):
            self.assertTrue(torch.equal(own, other))
