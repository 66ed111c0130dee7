"""Calls that attached models refuse, with which code, before any text comes."""

import torch
from transformers import DynamicCache, StaticCache

import moa_compile

from .models import cache_in, given, padded, texts, tiny_model
from .support import Attached


class Calls(Attached):
    def setUp(self) -> None:
        super().setUp()
        self.model, _ = self.attached(length_bound=100)
        self.ids = texts(60)[0][None]

    def forward(self, **arguments):
        with torch.no_grad():
            return self.model(**{"input_ids": self.ids, **arguments})

    def generate(self, **arguments):
        return self.model.generate(self.ids, max_new_tokens=3, do_sample=False, **arguments)

    def tearDown(self) -> None:
        """Whatever was refused, the model goes on, and is dense when it is detached."""
        self.model.eval()
        self.assertEqual(self.generate().shape[1], 63)
        moa_compile.detach(self.model)
        self.assertTrue(torch.equal(self.forward().logits, tiny_model()(self.ids).logits))
        super().tearDown()

    def test_training(self) -> None:
        self.model.train()
        self.refused("MOA6303", "in training", self.forward)
        self.model.eval()
        self.model.requires_grad_(True)
        self.refused("MOA6303", "gradients are wanted", lambda: self.model(self.ids))
        self.assertEqual(self.forward().logits.shape[1], 60)
        self.model.requires_grad_(False)
        embeds = self.model.get_input_embeddings()(self.ids).requires_grad_(True)
        self.refused("MOA6303", "gradients are wanted", lambda: self.model(inputs_embeds=embeds))

    def test_attentions(self) -> None:
        self.refused("MOA6307", "no attention", lambda: self.forward(output_attentions=True))
        self.refused(
            "MOA6307",
            "no attention",
            lambda: self.generate(output_attentions=True, return_dict_in_generate=True),
        )

    def test_caches_of_other_kinds(self) -> None:
        other, _ = self.attached(seed=1, length_bound=100)
        static = StaticCache(config=self.model.config, max_cache_len=100)
        for text, cache in (
            ("was given a DynamicCache", DynamicCache()),
            ("was given a StaticCache", static),
            ("another model's", moa_compile.hf.new_cache(other, batch_size=1)),
        ):
            with self.subTest(text):
                self.refused("MOA6304", text, lambda cache=cache: self.forward(**given(cache)))
                self.refused("MOA6304", text, lambda cache=cache: self.generate(**given(cache)))
        for kind in ("static", "quantized", "offloaded"):
            self.refused(
                "MOA6304",
                f"a cache of kind '{kind}'",
                lambda kind=kind: self.generate(cache_implementation=kind),
            )
        cache = moa_compile.hf.new_cache(self.model, batch_size=2)
        batch = {"input_ids": self.ids.repeat(3, 1), **given(cache)}
        self.refused("MOA6304", "at most 2 rows, the batch 3", lambda: self.forward(**batch))
        self.forward(**given(cache))
        batch["input_ids"] = self.ids[:, :1].repeat(2, 1)
        self.refused("MOA6304", "the cache has 1 rows, the batch 2", lambda: self.forward(**batch))

    def test_masks(self) -> None:
        cache = moa_compile.hf.new_cache(self.model, batch_size=2)
        batch = padded(texts(60, 40))
        self.forward(**batch, **given(cache))
        new = {"input_ids": torch.tensor([[5], [6]]), **given(cache)}
        whole = torch.nn.functional.pad(batch["attention_mask"], (0, 1), value=1)
        for text, mask in (
            ("attention_mask is missing, and the cache of 60 columns holds padding", None),
            ("attention_mask is [2, 1]; [2, 61] is needed", whole[:, -1:]),
            ("differs from before in the 60 columns", torch.ones_like(whole)),
            ("a mask of one's own", whole[:, None, None, :].float()),
            ("attention_mask is dict: one for full_attention", {"full_attention": whole}),
        ):
            with self.subTest(text):
                self.refused(
                    "MOA6305", text, lambda mask=mask: self.forward(**new, attention_mask=mask)
                )
        self.forward(**new, attention_mask=whole)

    def test_packed_sequences(self) -> None:
        positions = torch.cat((torch.arange(40), torch.arange(20)))[None]
        self.refused(
            "MOA6306",
            "position_ids do not rise by 1",
            lambda: self.forward(position_ids=positions),
        )
        ends = torch.tensor([0, 40, 60], dtype=torch.int32)
        self.refused(
            "MOA6306",
            "cu_seq_lens_q says that rows hold several sequences",
            lambda: self.forward(cu_seq_lens_q=ends, cu_seq_lens_k=ends),
        )
        self.refused(
            "MOA6306",
            "position_ids are [1, 3]",
            lambda: self.forward(position_ids=positions[:, :3]),
        )
        self.forward(position_ids=torch.arange(7, 67)[None])

    def test_bounds(self) -> None:
        cache = moa_compile.hf.new_cache(self.model, batch_size=1, length_bound=70)
        self.forward(**given(cache))
        self.refused(
            "MOA6308",
            "row 0 has 60 tokens and brings 60; the length bound is 70",
            lambda: self.forward(**given(cache)),
        )
        self.refused(
            "MOA6308",
            "generation may reach 101 tokens; the length bound is 100",
            lambda: self.model.generate(self.ids, max_new_tokens=42),
        )
        # Padding does not count.
        batch = padded([self.ids[0], texts(20)[0]])
        wide = {key: torch.nn.functional.pad(value, (10, 0)) for key, value in batch.items()}
        self.assertEqual(self.model.generate(**wide, max_new_tokens=41).shape[1], 111)
        other, _ = self.attached()
        self.refused(
            "MOA6308",
            "no length bound",
            lambda: moa_compile.hf.new_cache(other, batch_size=1),
        )
        output = other(self.ids)
        self.refused(
            "MOA6308",
            "row 0 has 60 tokens and brings 1; the length bound is 60",
            lambda: other(self.ids[:, :1], **given(cache_in(output))),
        )

    def test_calls_past_the_hooks(self) -> None:
        self.refused(
            "MOA6309",
            "called outside of the model's forward",
            lambda: self.model.model.forward(self.ids, use_cache=False),
        )
        loose = tiny_model()
        loose.set_attn_implementation("moa_compile")
        self.refused("MOA6309", "and no package", lambda: loose(self.ids, use_cache=False))
        self.refused(
            "MOA6309",
            "is not attached",
            lambda: moa_compile.hf.new_cache(loose, batch_size=1, length_bound=9),
        )

    def test_layers_that_are_left_out(self) -> None:
        layers = self.model.model.layers
        self.model.model.layers = layers[:1]
        try:
            self.refused("MOA6311", "went through 1 of the 2 layers", self.forward)
        finally:
            self.model.model.layers = layers
