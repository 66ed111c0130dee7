"""Models that a package is not for: refused by `attach`, and then as before."""

import torch
import transformers

import moa_compile

from .models import package, texts, tiny_model
from .support import Attached


class Packages(Attached):
    def test_packages_of_other_models(self) -> None:
        far = {"rope_theta": 500000.0}
        if int(transformers.__version__.split(".")[0]) >= 5:
            far = {"rope_parameters": {"rope_type": "default", **far}}
        for text, compiled, family, options in (
            ("the model has 3 layers, the package 2", "llama", "llama", {"num_hidden_layers": 3}),
            (
                "layer 0 of the model has 8 query heads, the package 4",
                "llama",
                "llama",
                {"num_attention_heads": 8},
            ),
            ("has 4 KV heads, the package 2", "llama", "llama", {"num_key_value_heads": 4}),
            ("has 128 elements a head, the package 64", "llama", "llama", {"head_dim": 128}),
            ("RoPE of the model has other frequencies", "llama", "llama", far),
            ("has no window, the package a window of 128", "mistral", "llama", {}),
            ("has a window of 128, the package no window", "llama", "mistral", {}),
            (
                "has a window of 256, the package a window of 128",
                "mistral",
                "mistral",
                {"sliding_window": 256},
            ),
            ("has a soft cap of scores of 4, the package no soft cap", "llama", "gemma2", {}),
            (
                "has a soft cap of scores of 2, the package a soft cap of scores of 4",
                "gemma2",
                "gemma2",
                {"attn_logit_softcapping": 2.0},
            ),
            ("has no learned sinks, the package learned sinks", "gpt-oss", "llama", {}),
            (
                "has a scale of scores of 0.0883883, the package a scale of scores of 0.125",
                "gemma3",
                "gemma3",
                {"query_pre_attn_scalar": 128},
            ),
        ):
            with self.subTest(text):
                model = tiny_model(family, **options)
                before = model.config._attn_implementation
                self.refused(
                    "MOA6301",
                    text,
                    lambda model=model, compiled=compiled: moa_compile.attach(
                        model, package(compiled)
                    ),
                )
                self.assertEqual(model.config._attn_implementation, before)
                self.assertFalse(hasattr(model, "_moa_attachment"))
                # Dense, it runs as before.
                self.assertEqual(model(texts(5)[0][None]).logits.shape[1], 5)

    def test_folders(self) -> None:
        self.refused(
            "MOA6204", "cannot be read", lambda: moa_compile.attach(tiny_model(), "/no-such-folder")
        )
        for bound in (0, "long"):
            self.refused(
                "MOA6106",
                "length_bound is",
                lambda bound=bound: moa_compile.attach(tiny_model(), package(), length_bound=bound),
            )

    def test_devices(self) -> None:
        """`attach` says what the package has no kernels for, and not the first generation."""
        model = tiny_model()
        other = moa_compile.Emulator(architecture="sm_90a")
        self.refused(
            "MOA6203",
            "the package has those of sm_80",
            lambda: moa_compile.attach(model, package(), device=other),
        )
        self.assertFalse(hasattr(model, "_moa_attachment"))
        ids = texts(9)[0][None]
        self.assertTrue(torch.equal(model(ids).logits, tiny_model()(ids).logits))
        model.lm_head.to("meta")
        self.refused(
            "MOA6302", "lies on cpu and meta", lambda: moa_compile.attach(model, package())
        )

    def test_other_models(self) -> None:
        encoder = transformers.BertModel(
            transformers.BertConfig(
                hidden_size=128,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=8,
                vocab_size=64,
            )
        )
        self.refused(
            "MOA6311",
            "BertModel",
            lambda: moa_compile.attach(encoder.bfloat16().eval(), package()),
        )
        self.refused(
            "MOA6311",
            "Linear has no attention",
            lambda: moa_compile.attach(torch.nn.Linear(2, 2), package()),
        )

    def test_a_model_that_changes(self) -> None:
        model, _ = self.attached()
        model.model.layers[1].self_attn.scaling = 0.5
        self.refused(
            "MOA6301",
            "layer 1 attends in another way than when the model was attached",
            lambda: model.generate(texts(9)[0][None], max_new_tokens=2),
        )
