"""Configs that are not understood are refused before weights are read, and layers that attend otherwise before anything is profiled."""

import contextlib
import io
import json
import os
import subprocess
import sys
import unittest
from unittest import mock

import torch

from moa_compile.search import cli
from moa_compile.search.codes import MoaError
from moa_compile.search.known_config import check_config, check_facts, known_models, may_matter
from moa_compile.search.layer_facts import ModelFacts, model_facts, usual_scale

from .tiny import FAMILIES, WithFolder, line_of, tiny_model, write_lines

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
    "hidden_size": 512, "vocab_size": 97, "max_position_embeddings": 512, "rope_theta": 10000.0,
}


def refused(config: dict) -> str:
    with contextlib.suppress(KeyError):
        try:
            check_config(config)
        except MoaError as error:
            assert error.code == "MOA7410", error
            return error.message
    return ""


class Configs(unittest.TestCase):
    def test_what_is_refused_and_why(self):
        full, sliding, linear, chunked = "full_attention", "sliding_attention", "linear_attention", "chunked_attention"
        for change, says in (
            (dict(num_attention_heads_per_layer=[48, 64, 64, 64]), "differ by layer"),
            (dict(per_layer_config={"1": {"head_dim": 512, "num_key_value_heads": 1}}), "differ by layer"),
            (dict(num_key_value_heads=[2, 2, 1, 2]), "num_key_value_heads is a list"),
            (dict(num_attention_heads=[8, 8, 4, 8]), "num_attention_heads is a list"),
            (dict(head_dim=256, global_head_dim=512), "differ by layer"),
            (dict(kv_lora_rank=512), "MLA"),
            (dict(qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128), "MLA"),
            (dict(v_head_dim=128), "different sizes"),
            (dict(attention_chunk_size=8192), "chunked_attention"),
            (dict(layer_types=[chunked, chunked, chunked, full]), "layer 0 is 'chunked_attention'"),
            (dict(layer_types=[linear, linear, linear, full]), "layer 0 is 'linear_attention'"),
            (dict(layer_types="full_attention"), "layer_types is no list"),
            (dict(model_type="qwen3_next", layer_types=[linear, linear, linear, full]), "layers 0, 1, 2 have no attention that a plan could be for (linear_attention)"),
            (dict(model_type="deepseek_v3"), "MLA"),
            (dict(model_type="bloom"), "not ones that plans are for"),
            (dict(model_type="t5"), "not ones that plans are for"),
            (dict(model_type="mamba"), "not ones that plans are for"),
            (dict(model_type="unheard-of"), '"unheard-of" is not known'),
            (dict(model_type=None), "no model_type"),
            (dict(model_type=7), "no model_type"),
            (dict(head_sparsity=2), '"head_sparsity"'),
            (dict(slidingWindowSize=64), '"slidingWindowSize"'),
            (dict(attention_temperature=0.5), '"attention_temperature"'),
            (dict(model_type="gemma4_text"), "global_head_dim"),
        ):
            with self.subTest(change):
                self.assertIn(says, refused({**LLAMA, **change}))
        inner = {"model_type": "gemma3", "text_config": {**LLAMA, "model_type": "gemma3_text", "kv_lora_rank": 5}}
        self.assertIn("MLA", refused(inner))
        self.assertIn("MLA", refused({**inner, "text_config": {**LLAMA, "model_type": "gemma3_text"}, "q_lora_rank": 5}))

    def test_what_is_understood(self):
        for change in (
            {}, dict(kv_lora_rank=None), dict(kv_lora_rank=0), dict(global_head_dim=64), dict(v_head_dim=64), dict(vision_attention=1, hidden_dropout=0.1),
            dict(model_type="mistral", sliding_window=128), dict(layer_types=["full_attention"] * 4), dict(num_attention_heads_per_layer=[8] * 4),
        ):
            with self.subTest(change):
                self.assertEqual(refused({**LLAMA, **change}), "")
        self.assertEqual(refused({"model_type": "gemma3", "text_config": {**LLAMA, "model_type": "gemma3_text"}, "vision_config": {"num_attention_heads": 3}}), "")
        self.assertTrue(may_matter("slidingWindow") and may_matter("kv_share") and not may_matter("hidden_act") and not may_matter("vision_heads"))

    def test_the_table_has_every_family_that_is_tested(self):
        for family in FAMILIES:
            with self.subTest(family):
                model = tiny_model(family)
                config = json.loads(model.config.to_json_string(use_diff=False))
                self.assertEqual(refused(config), "")
                check_facts(config, model_facts(model))
        self.assertGreater(len(known_models()["types"]), 50)


class Layers(unittest.TestCase):
    """What the running model says, whatever its config does."""

    def facts_or_error(self, change, family="llama"):
        model = tiny_model(family)
        change(model.model.layers[1].self_attn)
        try:
            return model_facts(model)
        except MoaError as error:
            return f"{error.code} {error.message}"

    def test_a_scale_of_its_own_is_recorded(self):
        model = tiny_model("llama")
        for layer in model.model.layers:
            layer.self_attn.scaling = 1.0
        facts = model_facts(model)
        self.assertEqual((facts.scale, usual_scale(facts)), (1.0, False))
        with self.assertRaises(MoaError) as caught:
            check_facts(LLAMA, facts)
        self.assertEqual(caught.exception.code, "MOA7411")
        check_facts({**LLAMA, "attention_multiplier": 1.0}, facts)

    def test_layers_that_differ(self):
        def other_scale(attention):
            attention.scaling = 1.0

        def other_heads(attention):
            attention.q_proj = torch.nn.Linear(32, 128, bias=False, dtype=torch.float64)
            attention.o_proj = torch.nn.Linear(128, 32, bias=False, dtype=torch.float64)
            attention.num_key_value_groups = 4

        def other_values(attention):
            attention.v_proj = torch.nn.Linear(32, 64, bias=False, dtype=torch.float64)

        def not_causal(attention):
            attention.is_causal = False

        def unnumbered(attention):
            attention.layer_idx = 0

        self.assertEqual(self.facts_or_error(other_scale), "MOA7411 the scale of the scores of layer 1 is 1.0, that of layer 0 is 0.25")
        self.assertEqual(self.facts_or_error(other_heads), "MOA7411 query heads of layer 1 is 8, that of layer 0 is 4")
        self.assertRegex(self.facts_or_error(not_causal), "^MOA7401 .*is no causal self-attention")
        self.assertRegex(self.facts_or_error(unnumbered), "^MOA7411 layer 0 of .* attends more than once")
        self.assertRegex(self.facts_or_error(other_values), "^MOA7401 .*2 heads of keys and 4 of values")

    def test_a_cap_in_one_layer(self):
        def no_cap(attention):
            attention.attn_logit_softcapping = None

        self.assertRegex(self.facts_or_error(no_cap, "gemma2"), "^MOA7411 the cap of the scores of layer 1 is None")

    def test_an_argument_of_attention_that_is_not_known(self):
        from moa_compile.search import interface

        model = tiny_model("llama")
        with mock.patch.object(interface, "_ARGUMENTS", interface._ARGUMENTS - {"dropout"}), self.assertRaises(MoaError) as caught:
            model_facts(model)
        self.assertIn("a dropout, which is not known", caught.exception.message)

    def test_facts_that_a_config_contradicts(self):
        facts = ModelFacts(4, 8, 2, 64, 0.125, None, False, (None,) * 4)
        check_facts(LLAMA, facts)
        for change, wrong in ((dict(soft_cap=30.0), "capped"), (dict(learned_sinks=True), "sinks"), (dict(scale=0.0625), "multiplied")):
            with self.assertRaises(MoaError) as caught:
                check_facts(LLAMA, ModelFacts(**{**vars(facts), **change}))
            self.assertEqual(caught.exception.code, "MOA7411")
            self.assertIn(wrong, caught.exception.message)


class Commands(WithFolder):
    """Everything that a user meets is a numbered error."""

    def profile(self, folder):
        data = write_lines(self.path("data.jsonl"), [line_of(60, 3)])
        return ["profile", "--model", folder, "--data", data, "--lengths", "64", "--output", self.path("out"), "--device", "cpu"]

    def test_models_that_the_search_cannot_handle(self):
        """As transformers saves them; weights are not read."""
        import transformers as t

        common = dict(vocab_size=97, hidden_size=64, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2)
        configs = {
            "MLA": t.DeepseekV3Config(**{**common, "num_key_value_heads": 4}),
            "chunked": t.Llama4TextConfig(**common, head_dim=16),
            "linear_attention": t.Qwen3NextConfig(**common, head_dim=16),
            "ALiBi": t.BloomConfig(vocab_size=97, hidden_size=64, n_layer=2, n_head=4),
            "plans are for": t.T5Config(vocab_size=97),
        }
        for says, config in configs.items():
            with self.subTest(says):
                folder = self.path(f"model {says}")
                config.save_pretrained(folder)
                error = io.StringIO()
                with contextlib.redirect_stderr(error):
                    status = cli.main(self.profile(folder))
                self.assertEqual(status, 2)
                self.assertRegex(error.getvalue(), r"\Aerror MOA7410: [^\n]+\n    help: [^\n]+\n\Z")
                self.assertIn(says, error.getvalue())

    def test_no_traceback_whatever_fails(self):
        """In a process of its own, as the search starts it."""
        def run(script, *arguments):
            process = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
            self.assertNotIn("Traceback", process.stderr)
            return process.returncode, process.stderr

        main = "import sys; from moa_compile.search import cli; sys.exit(cli.main(sys.argv[1:]))"
        for spoil, code, status in (
            ("import transformers; transformers.AutoModelForCausalLM = None", "MOA7401", 2),
            ("import moa_compile.search.model as m; m.load_model = lambda *a: 1 / 0", "MOA7413", 1),
            ("import sys, transformers; sys.modules['moa_compile.search.profile'] = None", "MOA7413", 1),
            ("import moa_compile.search.model as m\ndef full(*a): raise MemoryError\nm.load_model = full", "MOA7408", 1),
            ("import moa_compile.search.model as m\ndef deep(*a): return deep()\nm.load_model = deep", "MOA7413", 1),
        ):
            with self.subTest(spoil):
                found, error = run(f"{spoil}\n{main}", *self.profile(self.model_folder))
                self.assertEqual((found, error.split(":")[0]), (status, f"error {code}"), error)
        self.assertFalse(os.path.exists(self.path("out")))


if __name__ == "__main__":
    unittest.main()
