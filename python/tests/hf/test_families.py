"""Each family of models: logits and text under the plan's mask, with its own windows, soft cap and
sinks."""

import torch
import transformers

import moa_compile

from .doubles import Double, Reading
from .models import FAMILIES, package, padded, texts, tiny_model
from .reference import Reference, mask_of
from .support import Attached

BOUND = 240


class Families(Attached):
    def test_logits(self) -> None:
        """Against the same weights in float32, errors are at most twice those of the plain
        computation in bf16, and 2^-8 of the largest logit: the last rounding, of the logits
        themselves. With padding on both sides, whose logits are those of zeros too."""
        rows = texts(BOUND, 70, 150)
        batch = padded(rows)
        batch["input_ids"][2] = torch.cat((rows[2], torch.zeros(BOUND - 150, dtype=torch.long)))
        batch["attention_mask"][2] = (torch.arange(BOUND) < 150).long()
        for family in FAMILIES:
            with self.subTest(family):
                model, reference = self.attached(family, length_bound=BOUND)
                with torch.no_grad():
                    ours = model(**batch, use_cache=False).logits.float()
                exact = Reference(tiny_model(family), family, torch.float32).logits(BOUND, **batch)
                plain = reference.logits(BOUND, **batch).float()
                error, usual = ((x - exact).abs().max().item() for x in (ours, plain))
                bound = 2 * usual + exact.abs().max().item() * 2**-8
                self.assertLess(error, bound)
                moa_compile.detach(model)
                # The windows of Mistral are those of its plan: dense, it is the same.
                with torch.no_grad():
                    dense = model(input_ids=rows[0][None], use_cache=False).logits[0].float()
                if family != "mistral":
                    self.assertGreater((dense - exact[0]).abs().max().item(), 2 * bound)

    def test_text(self) -> None:
        """Greedy text, whose decode steps run over static memory."""
        prompt = texts(200)[0][None]
        for family in FAMILIES:
            with self.subTest(family):
                model, reference = self.attached(family)
                arguments = {"input_ids": prompt, "max_new_tokens": 10, "do_sample": False}
                ours = model.generate(**arguments)
                self.assertEqual(model._moa_attachment.decoding.graphs, 1)
                self.same_text(ours, reference.generate(209, **arguments), reference, 209)

    def test_steps_wait_for_nothing(self) -> None:
        """What a step reads back from the GPU keeps it from being captured."""
        batch = padded(texts(150, 90))
        for family in FAMILIES:
            with self.subTest(family):
                if family == "gpt-oss" and int(transformers.__version__.split(".")[0]) < 5:
                    self.skipTest("before transformers 5 experts on the CPU are read in a loop")
                model, _ = self.attached(family, length_bound=BOUND)
                Double.made, Reading.waits = [], []
                model._moa_attachment.decoding.make = Reading
                model.generate(**batch, max_new_tokens=5, do_sample=False)
                self.assertEqual([each.steps for each in Double.made], [4])
                self.assertEqual(Reading.waits, [])

    def test_windows_of_the_plan(self) -> None:
        """The reference has the windows that sessions have, which texts are longer than."""
        for family in FAMILIES:
            session = package(family).session(
                slots=1,
                length_bound=BOUND,
                device="cpu",
                sink_logits=([[0.0] * 4] * 2 if family == "gpt-oss" else None),
            )
            for layer in range(2):
                self.assertEqual(session.windows(layer), mask_of(family, layer, BOUND)[1])
                self.assertLess(min(session.windows(layer)) + 64, BOUND)

    def test_element_types_and_devices(self) -> None:
        model = tiny_model(dtype=torch.float32)
        self.refused(
            "MOA6302",
            "the model holds torch.float32; the package serves torch.bfloat16",
            lambda: moa_compile.attach(model, package()),
        )
        self.refused(
            "MOA6302",
            "lies on meta",
            lambda: moa_compile.attach(tiny_model().to("meta"), package()),
        )
