"""What transformers promises nowhere, and `attach` needs."""

import inspect
import unittest

import torch
import transformers

from .models import LAYERS, config_of, given, padded, texts, tiny_model


class Contracts(unittest.TestCase):
    def test_what_generate_calls(self) -> None:
        model = tiny_model()
        names = list(inspect.signature(model._prepare_cache_for_generation).parameters)
        wanted = ["generation_config", "model_kwargs", "generation_mode", "batch_size"]
        self.assertEqual(names, [*wanted, "max_cache_length"])
        calls = []
        model._prepare_cache_for_generation = lambda *given: calls.append(given)
        model.generate(texts(40)[0][None].repeat(2, 1), max_new_tokens=12, num_beams=3)
        # Beams are not counted; the last new token is never fed.
        self.assertEqual(calls[0][3:], (2, 51))

    def test_masks_of_generation(self) -> None:
        """Behind each forward the mask gets a column of ones, and the next forward gets that very
        tensor, and before transformers 5 the position of the column."""
        model = tiny_model()
        batch = padded(texts(9, 4))
        made, got = [], []
        update, forward = model._update_model_kwargs_for_generation, model.forward

        def updated(outputs, model_kwargs, **arguments):
            before = model_kwargs["attention_mask"]
            result = update(outputs, model_kwargs, **arguments)
            made.append((before, result["attention_mask"], result.get("cache_position")))
            return result

        def noted(**arguments):
            got.append(arguments)
            return forward(**arguments)

        model._update_model_kwargs_for_generation = updated
        noted.__signature__ = inspect.signature(forward)
        model.forward = noted
        model.generate(**batch, max_new_tokens=4, do_sample=False)
        for step in range(1, 4):
            before, after, begins = made[step - 1]
            self.assertIs(got[step - 1]["attention_mask"], before)
            self.assertIs(got[step]["attention_mask"], after)
            self.assertIs(got[step].get("cache_position"), begins)
            self.assertTrue(torch.equal(after[:, :-1], before))
            self.assertTrue(bool((after[:, -1] == 1).all()))
            self.assertEqual(got[step]["position_ids"].tolist(), [[8 + step], [3 + step]])

    def test_the_forward_of_decoders(self) -> None:
        for family in ("LlamaModel", "MistralModel", "Qwen3Model", "Gemma3TextModel"):
            names = inspect.signature(getattr(transformers, family).forward).parameters
            self.assertEqual(list(names)[1:4], ["input_ids", "attention_mask", "position_ids"])
            for name in ("inputs_embeds", "use_cache", next(iter(given(None)))):
                self.assertIn(name, names)

    def test_what_an_attention_function_is_given(self) -> None:
        """q, k and v of the new columns behind RoPE, without the cache."""
        seen = []

        def attention(module, query, key, value, mask, **arguments):
            seen.append((tuple(query.shape), tuple(key.shape), module.layer_idx, arguments))
            return query.transpose(1, 2), None

        transformers.AttentionInterface.register("moa_contract", attention)
        model = transformers.AutoModelForCausalLM.from_config(config_of("gemma2")).eval()
        model.set_attn_implementation("moa_contract")
        with torch.no_grad():
            model(texts(9)[0][None], use_cache=False)
        self.assertEqual([layer for *_, layer, _ in seen], list(range(LAYERS)))
        query, key, _, arguments = seen[0]
        self.assertEqual((query, key), ((1, 4, 9, 64), (1, 2, 9, 64)))
        self.assertEqual([arguments[name] for name in ("sliding_window", "softcap")], [128, 4.0])

    def test_methods_of_caches(self) -> None:
        for name in ("reorder_cache", "crop", "reset", "batch_repeat_interleave"):
            self.assertTrue(hasattr(transformers.Cache, name))
        self.assertTrue(hasattr(transformers.Cache, "batch_select_indices"))
