"""Decode steps over static memory: which forwards take it, and that they give what eager ones do.

There is no GPU here: a step is not replayed but run anew over the same buffers (`doubles.py`)."""

import contextlib
import gc
import inspect
import unittest
import warnings
from unittest import mock

import torch

import moa_compile
from moa_compile.hf.columns import read_columns
from moa_compile.hf.model_state import ModelState
from moa_compile.hf.step_graph import CudaStep

from .doubles import Double
from .models import given, package, padded, texts, tiny_model
from .support import Attached, WithCache


def decoding_of(model):
    return model._moa_attachment.decoding


class Steps(Attached):
    def setUp(self) -> None:
        super().setUp()
        Double.made = []

    def on_double(self, **arguments):
        model, reference = self.attached(**arguments)
        decoding_of(model).make = Double
        return model, reference

    def steps(self) -> list[int]:
        return [double.steps for double in Double.made]

    def test_every_step_of_generate(self) -> None:
        """The host reads nothing from the device but the prompt's mask."""
        model, reference = self.on_double(length_bound=240)
        with mock.patch("moa_compile.hf.rows.read_columns", wraps=read_columns) as read:
            for batch in (padded(texts(200)), padded(texts(200, 33, 1))):
                Double.made = []
                arguments = {**batch, "max_new_tokens": 9, "do_sample": False}
                ours = model.generate(**arguments)
                self.assertEqual((self.steps(), read.call_count), ([8], 1))
                read.reset_mock()
                theirs = reference.generate(240, **arguments)
                self.same_text(ours, theirs, reference, 240)

    def test_once_a_session(self) -> None:
        model, _ = self.on_double(length_bound=240)
        arguments = {**padded(texts(150, 20)), "max_new_tokens": 4, "do_sample": False}
        first = model.generate(**arguments)
        with torch.inference_mode():
            second = model.generate(**arguments)
        self.assertTrue(torch.equal(first, second))
        self.assertEqual(self.steps(), [6])

    def test_fewer_rows_than_slots(self) -> None:
        """A session is kept for smaller batches: rows are spread over its slots."""
        model, reference = self.on_double(length_bound=240)
        model.generate(**padded(texts(20, 30, 40)), max_new_tokens=2, do_sample=False)
        arguments = {**padded(texts(140, 90)), "max_new_tokens": 6, "do_sample": False}
        ours = model.generate(**arguments)
        self.assertEqual(self.steps(), [1, 5])
        self.assertIs(Double.made[0].session, Double.made[1].session)
        self.same_text(ours, reference.generate(240, **arguments), reference, 240)

    def test_beams(self) -> None:
        """Forks change the order of rows and no graph. Padding is that of the prompt, so the mask
        stays known while beams change places."""
        model, _ = self.on_double(length_bound=240)
        eager, _ = self.attached(length_bound=240, capture=False)
        for beams in ({"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}):
            Double.made = []
            arguments = {**padded(texts(180, 150)), "max_new_tokens": 10, "do_sample": False}
            ours = model.generate(**arguments, **beams)
            self.assertEqual(self.steps(), [9])
            self.assertTrue(torch.equal(ours, eager.generate(**arguments, **beams)))

    def test_samples_of_a_prompt(self) -> None:
        model, reference = self.on_double(length_bound=240)
        arguments = {**padded(texts(178, 140)), "max_new_tokens": 8, "do_sample": True, "top_k": 8}
        texts_of = []
        for generate in (model.generate, lambda **each: reference.generate(240, **each)):
            torch.manual_seed(0)
            texts_of.append(generate(**arguments, num_return_sequences=3))
        self.assertTrue(torch.equal(*texts_of))
        self.assertEqual(self.steps(), [7])

    def test_two_models_at_once(self) -> None:
        models = [self.on_double(length_bound=240, seed=seed) for seed in (0, 1)]
        ids = texts(120)[0][None]
        heard: list[torch.Tensor] = []

        class Other:
            def put(self, value) -> None:
                if not heard:
                    heard.append(models[1][0].generate(ids, max_new_tokens=5, do_sample=False))

            def end(self) -> None: ...

        arguments = {"input_ids": ids, "max_new_tokens": 5, "do_sample": False}
        ours = models[0][0].generate(**arguments, streamer=Other())
        for text, (_, reference) in zip((ours, heard[0]), models):
            self.same_text(text, reference.generate(240, **arguments), reference, 240)
        self.assertEqual(self.steps(), [4, 4])

    def test_weights_that_move(self) -> None:
        """Weights in other memory are seen before a step reads the old ones."""
        model, _ = self.on_double(length_bound=240)
        arguments = {"input_ids": texts(120)[0][None], "max_new_tokens": 4, "do_sample": False}
        first = model.generate(**arguments)
        weight = model.model.layers[1].mlp.up_proj.weight
        weight.mul_(1.0)
        model.generate(**arguments)
        self.assertEqual(self.steps(), [6])
        weight.data = weight.data.clone()
        self.assertTrue(torch.equal(model.generate(**arguments), first))
        self.assertEqual(self.steps(), [6, 3])
        model.model.layers[0].mlp.act_fn = torch.nn.ReLU()
        model.generate(**arguments)
        self.assertEqual(self.steps(), [6, 3, 3])

    def test_weights_that_move_in_a_generation(self) -> None:
        model, _ = self.on_double(length_bound=240)

        kept = []

        class Moves:
            def put(self, value) -> None:
                head = model.lm_head.weight
                kept.append(head.data)
                head.data = head.data.clone()

            def end(self) -> None: ...

        arguments = {"input_ids": texts(120)[0][None], "max_new_tokens": 5, "do_sample": False}
        first = model.generate(**arguments)
        self.assertTrue(torch.equal(model.generate(**arguments, streamer=Moves()), first))
        self.assertEqual(self.steps(), [4, 1])

    def test_hooks(self) -> None:
        """Who listens to modules is heard."""
        model, _ = self.on_double(length_bound=240)
        arguments = {"input_ids": texts(120)[0][None], "max_new_tokens": 4, "do_sample": False}
        heard = []
        handle = model.model.layers[1].register_forward_hook(lambda *_: heard.append(1))
        first = model.generate(**arguments)
        self.assertEqual((len(heard), self.steps()), (4, []))
        handle.remove()
        around = model.register_forward_hook(lambda *_: heard.append(1))
        self.assertTrue(torch.equal(model.generate(**arguments), first))
        around.remove()
        self.assertEqual((len(heard), self.steps()), (8, [3]))
        hidden = model.generate(
            **arguments, output_hidden_states=True, return_dict_in_generate=True
        ).hidden_states
        self.assertEqual((len(hidden), self.steps()), (4, [3]))
        # transformers leaves hooks of its own behind; before 5, forwards.
        self.assertTrue(torch.equal(model.generate(**arguments), first))
        self.assertEqual(self.steps(), [3, 3])

    def test_obstacles(self) -> None:
        model = tiny_model()
        self.assertIsNone(ModelState(model, model.model).obstacle)
        layer = model.model.layers[0]
        layer._hf_hook = object()
        self.assertIn("accelerate", ModelState(model, model.model).obstacle)
        del layer._hf_hook
        for replaced in (lambda *_, **__: None, model.model.layers[1].forward):
            layer.forward = replaced
            self.assertIn("replaced", ModelState(model, model.model).obstacle)
            del layer.forward
        layer.forward = layer.forward
        self.assertIsNone(ModelState(model, model.model).obstacle)
        del layer.forward
        layer._compiled_call_impl = lambda *_, **__: None
        self.assertIn("compiled", ModelState(model, model.model).obstacle)

    def test_freed_memory(self) -> None:
        model, _ = self.on_double(length_bound=240)
        arguments = {"input_ids": texts(50)[0][None], "max_new_tokens": 3, "do_sample": False}
        model.generate(**arguments)
        self.assertEqual(decoding_of(model).graphs, 1)
        moa_compile.hf.release_memory(model)
        self.assertEqual(decoding_of(model).graphs, 0)
        model.generate(**arguments)
        self.assertEqual(self.steps(), [2, 2])
        decoding = decoding_of(model)
        moa_compile.detach(model)
        gc.collect()
        self.assertEqual(decoding.graphs, 0)

    def test_detach(self) -> None:
        model = tiny_model()
        names = inspect.signature(model.forward)
        inside = set(vars(model))
        moa_compile.attach(model, package())
        self.assertEqual(inspect.signature(model.forward), names)
        under = model.forward
        moa_compile.detach(model)
        self.assertEqual(set(vars(model)), inside)
        # Others may have wrapped ours, and keep it.
        ids = texts(9)[0][None]
        with torch.no_grad():
            self.assertTrue(torch.equal(under(ids).logits, model(ids).logits))

    def test_failures(self) -> None:
        """Some layers may have the token and others not: the cache is closed."""
        model, reference = self.on_double(length_bound=240)

        class Fails(Double):
            def run(self, cache):
                super().run(cache)
                raise RuntimeError("a step")

        decoding_of(model).make = Fails
        arguments = {"input_ids": texts(50)[0][None], "max_new_tokens": 3, "do_sample": False}
        with self.assertRaisesRegex(RuntimeError, "a step"):
            model.generate(**arguments)
        pool = model._moa_attachment.forwards.pool
        self.assertEqual((pool.used, pool.idle), (0, 1))
        moa_compile.hf.release_memory(model)
        decoding_of(model).make = Double
        ours = model.generate(**arguments)
        self.same_text(ours, reference.generate(240, **arguments), reference, 240)


class Loops(WithCache):
    """Loops of one's own."""

    def setUp(self) -> None:
        super().setUp()
        Double.made = []
        decoding_of(self.model).make = Double

    def step(self, cache, ids, at: int, **arguments):
        positions = torch.tensor([[at]])
        return self.forward(
            input_ids=ids[:, at : at + 1], position_ids=positions, **given(cache), **arguments
        )

    def test_without_padding(self) -> None:
        """Logits stay what they are in later steps, and caches take turns on their sessions."""
        ids = torch.stack(texts(150, 150))
        caches = [moa_compile.hf.new_cache(self.model, batch_size=1) for _ in range(2)]
        for cache, row in zip(caches, ids):
            self.forward(input_ids=row[None, :147], **given(cache))
        outputs = [
            [self.step(cache, row[None], at) for cache, row in zip(caches, ids)]
            for at in (147, 148, 149)
        ]
        self.assertEqual([double.steps for double in Double.made], [3, 3])
        for each, row in zip(zip(*outputs), ids):
            self.near(torch.cat([output.logits for output in each], 1), row[None])
        eager = self.forward(input_ids=ids[:1, :9])
        self.assertIs(type(outputs[0][0]), type(eager))

    def test_masks_that_nobody_knows(self) -> None:
        """A mask that was not made by generate is compared, also one that was written since."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=2)
        rows = texts(140, 100)
        batch = padded(rows)
        first = batch["attention_mask"]
        self.forward(**batch, **given(cache))
        more = torch.nn.functional.pad(first, (0, 1), value=1)
        ids = torch.tensor([[5], [6]])
        positions = torch.tensor([[140], [100]])
        self.forward(input_ids=ids, attention_mask=more, position_ids=positions, **given(cache))
        self.assertEqual(Double.made, [])
        # What generate does; transformers 4 counts the columns of the cache, too.
        arguments = {"attention_mask": more, "cache_position": torch.tensor([140]), **given(cache)}
        result = self.model._update_model_kwargs_for_generation({}, arguments)
        known, begins = result["attention_mask"], result["cache_position"]
        self.assertTrue(cache.content.masks.is_next(known, None))
        self.assertTrue(cache.content.masks.is_next(known, begins))
        self.assertFalse(cache.content.masks.is_next(known, begins.clone()))
        known[:, :3] = 1
        self.refused(
            "MOA6305",
            "differs from before",
            lambda: self.forward(
                input_ids=ids, attention_mask=known, position_ids=positions + 1, **given(cache)
            ),
        )
        self.assertEqual(Double.made, [])

    def test_cache_positions_of_ones_own(self) -> None:
        """They are read, as masks are."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=1)
        ids = texts(150)[0][None]
        self.forward(input_ids=ids[:, :140], **given(cache))
        begins = torch.tensor([140])
        self.near(self.step(cache, ids, 140, cache_position=begins).logits, ids[:, :141])
        self.refused(
            "MOA6306",
            "cache_position does not begin at 141",
            lambda: self.step(cache, ids, 141, cache_position=begins),
        )
        self.assertEqual(Double.made, [])

    def test_bounds(self) -> None:
        cache = moa_compile.hf.new_cache(self.model, batch_size=1, length_bound=10)
        ids = texts(12)[0][None]
        self.forward(input_ids=ids[:, :9], **given(cache))
        self.step(cache, ids, 9)
        self.refused("MOA6308", "the length bound is 10", lambda: self.step(cache, ids, 10))
        self.assertEqual([double.steps for double in Double.made], [1])
        cache.close()
        self.refused("MOA6304", "it was closed", lambda: self.step(cache, ids, 10))

    def test_other_forwards(self) -> None:
        """Gradients, other outputs, other logits: eager."""
        cache = moa_compile.hf.new_cache(self.model, batch_size=1)
        ids = texts(150)[0][None]
        self.forward(input_ids=ids[:, :140], **given(cache))
        self.step(cache, ids, 140, output_hidden_states=True)
        self.step(cache, ids, 141, logits_to_keep=torch.tensor([0]))
        self.step(cache, ids, 142, return_dict=False)
        with torch.enable_grad():
            self.model(
                input_ids=ids[:, 143:144], position_ids=torch.tensor([[143]]), **given(cache)
            )
        self.assertEqual(Double.made, [])
        self.near(self.step(cache, ids, 144).logits, ids[:, :145])
        self.assertEqual([double.steps for double in Double.made], [1])


class FakeSession:
    """Captures as sessions on a GPU do: what is launched in the block is not run."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.replays, self.fails = 0, False

    @contextlib.contextmanager
    def graph(self, **options):
        if self.fails:
            raise RuntimeError("a capture")
        yield self

    def replay(self) -> None:
        self.replays += 1


class CudaSteps(unittest.TestCase):
    """When a step is captured, without a GPU."""

    def setUp(self) -> None:
        self.modes: list[object] = []
        patch = mock.patch.multiple(
            torch.cuda,
            device=lambda _: contextlib.nullcontext(),
            Stream=lambda _: None,
            get_sync_debug_mode=lambda: 0,
            set_sync_debug_mode=self.modes.append,
        )
        patch.start()
        self.addCleanup(patch.stop)
        self.session, self.runs = FakeSession(), 0
        self.step = CudaStep(self.session, self.run_model)
        self.waits = False

    def run_model(self, cache) -> torch.Tensor:
        self.runs += 1
        if self.waits:
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)
        return torch.full((1,), float(self.runs))

    def test_second_step_is_captured(self) -> None:
        logits = [self.step.run(None) for _ in range(4)]
        self.assertEqual((self.runs, self.session.replays), (2, 3))
        self.assertIs(logits[1], logits[3])
        self.assertFalse(logits[1].is_inference())
        self.assertEqual(self.modes, ["warn", 0])

    def test_a_model_that_waits(self) -> None:
        self.waits = True
        with self.assertWarnsRegex(RuntimeWarning, "waits for the device"):
            self.step.run(None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.step.run(None)
        self.assertEqual((self.runs, self.session.replays), (2, 0))

    def test_a_capture_that_fails(self) -> None:
        """Nothing was launched: the step runs as it is, and so do later ones."""
        self.session.fails = True
        self.step.run(None)
        with self.assertWarnsRegex(RuntimeWarning, "slower: a capture"):
            self.step.run(None)
        self.step.run(None)
        self.assertEqual((self.runs, self.session.replays), (3, 0))
        self.assertFalse(self.step.is_captured)
