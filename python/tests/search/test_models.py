"""Profile and masked run of each family of models against attention that keeps all of A."""

import unittest

import torch

from moa_compile.search.codes import MoaError
from moa_compile.search.data import Sample
from moa_compile.search.loss import run_sample
from moa_compile.search.masked import masked_attention
from moa_compile.search.layer_facts import model_facts
from moa_compile.search.model import differentiable, scores_of
from moa_compile.search.profile import profile_sample

from .reference import reference, whole_attention
from .tiny import FAMILIES, SLIDING, VOCABULARY, tiny_model, tiny_sample

LENGTH, TOKENS, ANSWERS = 256, 170, 9


def empty_sums(model, length=LENGTH):
    config = model.config
    device = model.get_input_embeddings().weight.device
    size = (config.num_attention_heads, 2, length // 64, length // 64)
    kind = torch.float64 if model.dtype == torch.float64 else torch.float32
    return [torch.zeros(size, dtype=kind, device=device) for _ in range(config.num_hidden_layers)]


def profiled(model, tokens, labels, rows=None, target="cross-entropy"):
    sums = empty_sums(model)
    result = profile_sample(model, Sample("file:1", tokens, labels), sums, rows, target)
    return result, torch.stack(sums)


class Description(unittest.TestCase):
    def test_how_scores_are_made(self):
        # headDim is 16: a scalar of 16 is the usual scale.
        expected = {"gemma2": {"softCap": 2.0, "scale": 20**-0.5}, "gpt-oss": {"learnedSinks": True}}
        for family in FAMILIES:
            with self.subTest(family):
                facts = model_facts(tiny_model(family))
                self.assertEqual(scores_of(facts), expected.get(family, {}))
                self.assertEqual(list(facts.windows), SLIDING.get(family, [None, None]))


class Profile(unittest.TestCase):
    def test_every_family_against_the_definition(self):
        for family in FAMILIES:
            with self.subTest(family):
                model = tiny_model(family)
                tokens, labels = tiny_sample(TOKENS, ANSWERS)
                loss, expected, expected_grad = reference(model, tokens, labels, LENGTH)
                implementation = model.config._attn_implementation
                kept = []
                hook = model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: kept.append(output))
                result, found = profiled(model, tokens, labels, 64)
                hook.remove()
                self.assertEqual(model.config._attn_implementation, implementation)
                self.assertAlmostEqual(result.loss, loss, places=5)  # Norms and rotations of transformers are in float32.
                self.assertEqual(result.answers, ANSWERS)
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)
                torch.testing.assert_close(kept[0].grad[0], expected_grad, rtol=1e-4, atol=1e-8)
                self.assertEqual(float(found[..., 3, :].abs().sum()), 0.0)  # The sample ends in page 2.
                for rows in (128, 192, None):
                    torch.testing.assert_close(profiled(model, tokens, labels, rows)[1], found, rtol=1e-6, atol=1e-10)

    def test_the_margin_against_the_definition(self):
        for family in ("llama", "gemma2"):  # One with a softcap on its logits.
            with self.subTest(family):
                model = tiny_model(family)
                tokens, labels = tiny_sample(TOKENS, ANSWERS)
                loss, expected, _ = reference(model, tokens, labels, LENGTH, "margin")
                result, found = profiled(model, tokens, labels, 64, "margin")
                self.assertAlmostEqual(result.loss, loss, places=5)  # Still the cross-entropy.
                self.assertEqual(result, profiled(model, tokens, labels)[0])
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)
                self.assertFalse(torch.allclose(found, profiled(model, tokens, labels)[1], rtol=1e-3, atol=0.0))

    def test_the_margin_does_not_vanish_where_the_model_is_sure_and_right(self):
        model = tiny_model("llama")
        tokens, _ = tiny_sample(TOKENS, ANSWERS)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens])).logits[0, 99]
        labels = [-100] * TOKENS
        labels[100] = int(logits.argmax())
        model.lm_head.weight *= 20
        loss, found = profiled(model, tokens, labels)
        self.assertLess(loss.loss, 1e-3)
        margin = profiled(model, tokens, labels, target="margin")[1]
        torch.testing.assert_close(margin, reference(model, tokens, labels, LENGTH, "margin")[1], rtol=1e-3, atol=1e-8)
        self.assertGreater(float(margin.sum()), 100 * float(found.sum()))

    def test_types_of_less_precision_are_close_and_repeat_bit_for_bit(self):
        for dtype, tolerance in ((torch.float32, 1e-3), (torch.bfloat16, 0.15), (torch.float16, 0.03)):
            with self.subTest(dtype):
                model = tiny_model("llama", dtype)
                tokens, labels = tiny_sample(TOKENS, ANSWERS)
                expected = reference(model.double(), tokens, labels, LENGTH)[1]
                model.to(dtype)
                found = profiled(model, tokens, labels)[1]
                self.assertTrue(torch.equal(found, profiled(model, tokens, labels)[1]))
                self.assertLess(float((found - expected).abs().sum() / expected.sum()), tolerance)

    def test_checkpoints_change_nothing(self):
        model = tiny_model("gemma2", torch.float32)
        tokens, labels = tiny_sample(TOKENS, ANSWERS)
        expected = profiled(model, tokens, labels)[1]
        with differentiable(model, checkpoint=True):
            found = profiled(model, tokens, labels)[1]
        self.assertTrue(torch.equal(found, expected))
        self.assertFalse(any("forward" in vars(module) for module in model.modules()))

    def test_what_comes_after_the_last_answer_has_no_influence_and_other_labels_do_not_count(self):
        model = tiny_model("llama")
        tokens, _ = tiny_sample(TOKENS, ANSWERS)
        labels = [-100] * TOKENS
        labels[100] = 5  # Predicted at position 99, in page 1.
        result, found = profiled(model, tokens, labels)
        self.assertEqual(float(found[..., 2, :].sum()), 0.0)
        self.assertGreater(float(found[..., 1, :].sum()), 0.0)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens])).logits[0, 99]
        self.assertAlmostEqual(result.loss, -float(torch.log_softmax(logits, -1)[5]), places=5)
        self.assertEqual(result.right, int(logits.argmax() == 5))
        labels[0] = 7  # Nothing predicts the first token.
        again = profiled(model, tokens, labels)
        self.assertEqual(again[0], result)
        self.assertTrue(torch.equal(again[1], found))

    def test_logits_some_at_a_time_are_the_same(self):
        model = tiny_model("gemma2")
        model.config.vocab_size = (64 << 20) // 12 // 4  # A budget of four positions.
        sample = Sample("file:1", *tiny_sample(TOKENS, TOKENS))
        some = run_sample(model, sample)
        model.config.vocab_size = VOCABULARY
        self.assertAlmostEqual(run_sample(model, sample).loss, some.loss, places=12)
        self.assertEqual(run_sample(model, sample).right, some.right)

    def test_weights_that_are_not_finite(self):
        model = tiny_model("llama", torch.float32)
        model.model.layers[1].self_attn.q_proj.weight[:16] *= float("nan")
        tokens, labels = tiny_sample(70, 2)
        with self.assertRaises(MoaError) as caught:
            profiled(model, tokens, labels)
        self.assertEqual(caught.exception.code, "MOA7405")
        self.assertIn("file:1", caught.exception.message)


@unittest.skipUnless(torch.cuda.is_available(), "no GPU")
class Gpu(unittest.TestCase):
    def test_every_family_is_close_to_the_cpu_and_repeats_bit_for_bit(self):
        tokens, labels = tiny_sample(TOKENS, ANSWERS)
        for family in FAMILIES:
            expected = profiled(tiny_model(family), tokens, labels)[1]
            for dtype, tolerance in ((torch.float64, 1e-4), (torch.float32, 1e-3), (torch.bfloat16, 0.25), (torch.float16, 0.05)):
                with self.subTest(family, dtype=dtype):
                    model = tiny_model(family, dtype).cuda()
                    found = profiled(model, tokens, labels)[1]
                    self.assertTrue(torch.equal(found, profiled(model, tokens, labels)[1]))
                    self.assertLess(float((found.cpu() - expected).abs().sum() / expected.sum()), tolerance)

    def test_masked_run_is_close_to_the_cpu(self):
        windows = torch.randint(1, 140, (2, 4), generator=torch.Generator().manual_seed(3))
        ids = torch.randint(VOCABULARY, (3, 150), generator=torch.Generator().manual_seed(4))
        for family in FAMILIES:
            with self.subTest(family):
                model = tiny_model(family, torch.float32)
                with masked_attention(model, windows, 5):
                    expected = model(input_ids=ids, use_cache=False).logits
                model.cuda()
                for given in (windows, windows.cuda()):
                    with masked_attention(model, given, 5):
                        torch.testing.assert_close(model(input_ids=ids.cuda(), use_cache=False).logits.cpu(), expected, rtol=1e-3, atol=1e-3)


class Masked(unittest.TestCase):
    def run_masked(self, model, ids, windows, sink, rows=None):
        with masked_attention(model, windows, sink, rows):
            return model(input_ids=ids, use_cache=False).logits

    def test_every_family_against_an_explicit_mask(self):
        generator = torch.Generator().manual_seed(3)
        for family in FAMILIES:
            with self.subTest(family):
                model, tokens = tiny_model(family), 150
                ids = torch.randint(VOCABULARY, (3, tokens), generator=generator)
                windows = torch.randint(1, 140, (2, 4), generator=generator)
                i, j = torch.arange(tokens)[:, None], torch.arange(tokens)
                for sink in (0, 1, 70):
                    # A layer with a window of its own has no sink.
                    sinks = torch.tensor([sink if own is None else 0 for own in SLIDING.get(family, [None, None])])
                    extra = (i - j < windows[:, :, None, None]) | (j < sinks[:, None, None, None])
                    with whole_attention(model, extra), torch.no_grad():
                        expected = model(input_ids=ids, use_cache=False).logits
                    found = self.run_masked(model, ids, windows.tolist(), sink, 64 if sink else None)
                    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)

    def test_full_windows_are_dense_bit_for_bit_and_the_model_is_as_it_was(self):
        for family in FAMILIES:
            with self.subTest(family):
                model = tiny_model(family, torch.float32)
                ids = torch.tensor([tiny_sample(140, 1)[0]])
                model.set_attn_implementation("eager")
                with torch.no_grad():
                    eager = model(input_ids=ids, use_cache=False).logits
                dense = self.run_masked(model, ids, None, 0)
                self.assertTrue(torch.equal(self.run_masked(model, ids, torch.full((2, 4), 140), 0), dense))
                if family not in SLIDING:  # The others have layers without a sink.
                    self.assertTrue(torch.equal(self.run_masked(model, ids, torch.full((2, 4), 3), 140), dense))
                torch.testing.assert_close(dense, eager, rtol=1e-4, atol=1e-4)
                self.assertEqual(model.config._attn_implementation, "eager")
                with self.assertRaises(KeyError), masked_attention(model):
                    raise KeyError
                self.assertEqual(model.config._attn_implementation, "eager")

    def test_the_windows_of_the_model_are_found(self):
        for family, windows in SLIDING.items():
            model = tiny_model(family)
            rules = {}

            from moa_compile.search.interface import attention_of

            def note(layer, query, key, value, rule):
                rules[layer] = rule.window
                return query

            with self.subTest(family), torch.no_grad(), attention_of(model, note):
                model(input_ids=torch.zeros(1, 100, dtype=torch.long), use_cache=False)
            self.assertEqual([rules[0], rules[1]], windows)

    def test_two_models_at_a_time(self):
        first, second = tiny_model("llama", torch.float32), tiny_model("llama", torch.float32)
        ids = torch.tensor([tiny_sample(100, 1)[0]])
        narrow = torch.full((2, 4), 5)
        alone = self.run_masked(first, ids, narrow, 1), self.run_masked(second, ids, narrow + 40, 0)
        with masked_attention(first, narrow, 1), masked_attention(second, narrow + 40, 0):
            both = [model(input_ids=ids, use_cache=False).logits for model in (first, second)]
        self.assertTrue(torch.equal(alone[0], both[0]) and torch.equal(alone[1], both[1]))

    def test_what_cannot_be_masked_is_refused(self):
        model = tiny_model("llama", torch.float32)
        ids = torch.tensor([tiny_sample(20, 1)[0]] * 2)
        padding = torch.ones(2, 20, dtype=torch.long)
        padding[0, :3] = 0
        packed = torch.cat([torch.arange(12), torch.arange(8)]).expand(2, 20)
        with masked_attention(model):
            model(input_ids=ids, use_cache=False, attention_mask=torch.ones(2, 20, dtype=torch.long))
            for wrong in (dict(attention_mask=padding), dict(position_ids=packed)):
                with self.assertRaises(MoaError) as caught:
                    model(input_ids=ids, use_cache=False, **wrong)
                self.assertEqual(caught.exception.code, "MOA7401")
            cache = model(input_ids=ids, use_cache=True).past_key_values
            with self.assertRaises(MoaError):
                model(input_ids=ids[:, :1], past_key_values=cache)
        for windows in ([[1, 2, 3, 0]] * 2, [1, 2]):
            with self.assertRaises(ValueError), masked_attention(model, windows):
                pass


if __name__ == "__main__":
    unittest.main()
