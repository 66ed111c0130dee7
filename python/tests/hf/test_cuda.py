"""Steps of the whole model in CUDA graphs, against the same steps without."""

import shutil
import unittest
import warnings

import torch

import moa_compile
from moa_compile.hf.step_graph import CudaStep

from .models import given, gpu_package, padded, texts, tiny_model

_FOUND = shutil.which("nvcc") is not None


@unittest.skipUnless(torch.cuda.is_available() and _FOUND, "no GPU, or no nvcc")
class Cuda(unittest.TestCase):
    def setUp(self) -> None:
        self.made: list[CudaStep] = []
        self.model, self.eager = tiny_model().cuda(), tiny_model().cuda()
        moa_compile.attach(self.model, gpu_package(), length_bound=240)
        moa_compile.attach(self.eager, gpu_package(), length_bound=240, capture=False)
        self.addCleanup(moa_compile.detach, self.eager)
        self.addCleanup(self._detach)

        def make(session, run):
            self.made.append(CudaStep(session, run))
            return self.made[-1]

        self.model._moa_attachment.decoding.make = make

    def _detach(self) -> None:
        if hasattr(self.model, "_moa_attachment"):
            moa_compile.detach(self.model)

    def compare(self, **arguments) -> None:
        found = []
        for model in (self.model, self.eager):
            torch.manual_seed(0)
            found.append(model.generate(**arguments).tolist())
        self.assertEqual(*found)

    def batch(self, *lengths: int) -> dict[str, torch.Tensor]:
        return {name: each.cuda() for name, each in padded(texts(*lengths)).items()}

    def test_generations(self) -> None:
        """Captured once for each batch size of a session, and never warned of."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            for do_sample in (False, True):
                self.compare(**self.batch(150, 90, 3), max_new_tokens=40, do_sample=do_sample)
            self.compare(**self.batch(150), max_new_tokens=20, do_sample=False)
            with torch.inference_mode():
                self.compare(**self.batch(20, 30, 40), max_new_tokens=20, do_sample=False)
        self.assertEqual([step.is_captured for step in self.made], [True, True])

    def test_beams(self) -> None:
        for samples in ({}, {"num_return_sequences": 3}, {"do_sample": True, "top_k": 8}):
            options = {"do_sample": False, **samples}
            self.compare(**self.batch(180, 120), max_new_tokens=24, num_beams=3, **options)
        self.assertTrue(all(step.is_captured for step in self.made))

    def test_a_replay_waits_for_nothing(self) -> None:
        ids = texts(60)[0][None].cuda()
        positions = torch.arange(60).cuda()[None]
        logits = []
        for model in (self.model, self.eager):
            cache = moa_compile.hf.new_cache(model, batch_size=1)
            with torch.no_grad():
                model(input_ids=ids[:, :50], **given(cache))
                for at in range(50, 60):
                    if model is self.model and at >= 53:
                        torch.cuda.set_sync_debug_mode("error")
                    try:
                        step = model(
                            input_ids=ids[:, at : at + 1],
                            position_ids=positions[:, at : at + 1],
                            **given(cache),
                        )
                    finally:
                        torch.cuda.set_sync_debug_mode("default")
                    logits.append(step.logits)
        ours, theirs = torch.cat(logits[:10], 1), torch.cat(logits[10:], 1)
        self.assertTrue(torch.equal(ours, theirs))

    def test_out_of_memory(self) -> None:
        """A pool that does not fit: nothing of it is held though the error is kept, and the model
        goes on."""
        batch = self.batch(100, 60)
        self.compare(**batch, max_new_tokens=8, do_sample=False)
        moa_compile.hf.release_memory(self.model)
        held = torch.cuda.memory_allocated()
        total = torch.cuda.get_device_properties(0).total_memory
        # 32 MiB more than torch has now; the pool takes 256.
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**25) / total)
        try:
            prompts = texts(50, 60)
            list(moa_compile.generate_batch(self.model, prompts, max_new_tokens=4, pages=2**14))
            self.fail("nothing was raised")
        except moa_compile.MoaError as error:
            self.assertEqual(error.code, "MOA6006")
            self.assertEqual(torch.cuda.memory_allocated(), held)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        self.compare(**batch, max_new_tokens=8, do_sample=False)

    def test_weights_that_move(self) -> None:
        batch = self.batch(100, 90)
        self.compare(**batch, max_new_tokens=8, do_sample=False)
        for model in (self.model, self.eager):
            for parameter in model.parameters():
                parameter.data = parameter.data * 1.25
        self.compare(**batch, max_new_tokens=8, do_sample=False)
        self.assertEqual([step.is_captured for step in self.made], [True, True])

    def test_a_model_that_waits(self) -> None:
        """It is not captured, and says so."""

        class Waits(torch.nn.SiLU):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                x.sum().item()
                return super().forward(x)

        self.model.model.layers[1].mlp.act_fn = Waits()
        with self.assertWarnsRegex(RuntimeWarning, "waits for the device"):
            self.compare(**self.batch(100), max_new_tokens=8, do_sample=False)
        self.assertEqual([step.is_captured for step in self.made], [False])

    def test_two_models_at_once(self) -> None:
        other = tiny_model(seed=1).cuda()
        moa_compile.attach(other, gpu_package(), length_bound=240)
        batch = self.batch(50)
        arguments = {**batch, "max_new_tokens": 12, "do_sample": False}
        alone = other.generate(**arguments)
        found = []

        class Between:
            def put(self, value) -> None:
                found.append(other.generate(**arguments))

            def end(self) -> None: ...

        self.model.generate(**arguments, streamer=Between())
        self.assertTrue(all(torch.equal(each, alone) for each in found))
        moa_compile.detach(other)

    def test_generate_batch(self) -> None:
        """Preempted, with a prefix, and as texts of one prompt at a time."""
        common = texts(100)[0]
        prompts = [torch.cat((common, each)) for each in texts(20, 9, 70, 1, 50, seed=1)]
        with self.model._moa_attachment.forwards.pool.make(1, 240) as session:
            pages = 3 * session.pages_for(200)
        options = {"max_new_tokens": 30, "budget": 128, "slots": 4}
        first = [
            list(moa_compile.generate_batch(self.model, prompts, **options, pages=each))
            for each in (None, pages)
        ]
        self.assertEqual(*first)
        self.assertEqual([step.is_captured for step in self.made], [True] * 4)
        for prompt, text in zip(prompts, first[0]):
            alone = self.eager.generate(prompt[None].cuda(), max_new_tokens=30, do_sample=False)
            same = sum(a == b for a, b in zip(alone[0, len(prompt) :].tolist(), text.tokens))
            # Products of matrices of other sizes round otherwise, and a near tie changes the rest.
            self.assertGreater(same, 3)
