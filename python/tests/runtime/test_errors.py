"""What is refused, with which code: the codes of docs/runtime.md."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

import torch

import moa_compile

from .packages import Scarce, obstacle, package
from .reference import Model

REASON = obstacle()


@unittest.skipIf(REASON is not None, REASON)
class Refusals(unittest.TestCase):
    def refused(self, code: str, text: str, call) -> None:
        with self.assertRaises(moa_compile.MoaError) as raised:
            call()
        self.assertEqual(raised.exception.code, code)
        self.assertTrue(str(raised.exception).startswith(f"{code}: "))
        self.assertIn(text, str(raised.exception))
        if raised.exception.help:
            self.assertTrue(str(raised.exception).endswith(f"\n    help: {raised.exception.help}"))

    def copy(self) -> Path:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        return Path(shutil.copytree(package().folder, Path(folder, "package")))

    def test_packages(self) -> None:
        folder = self.copy()
        options = {"slots": 1, "length_bound": 100, "device": "cpu"}
        self.refused("MOA6204", "cannot be read", lambda: moa_compile.load(folder / "absent"))
        file = folder / "definition.json"
        definition = json.loads(file.read_text())
        file.write_text(json.dumps({**definition, "format": 7}))
        self.refused(
            "MOA6201",
            "the package has format 7; this runtime reads format 8",
            lambda: moa_compile.load(folder),
        )
        file.write_text("[]")
        self.refused("MOA6204", "is not a definition", lambda: moa_compile.load(folder))
        file.write_text("{")
        self.refused("MOA6204", "is not JSON", lambda: moa_compile.load(folder))
        file.write_text(json.dumps(definition))
        (folder / definition["kernels"][0]["source"]).unlink()
        self.refused(
            "MOA6204",
            "of the package cannot be read",
            lambda: moa_compile.load(folder).session(**options),
        )
        shutil.rmtree(folder / "kernels")
        self.refused("MOA6206", "no sources", lambda: moa_compile.load(folder).session(**options))
        emulator = moa_compile.Emulator(architecture="sm_90a")
        other = {**options, "device": emulator}
        self.refused("MOA6203", "has those of sm_80", lambda: package().session(**other))

    def test_options(self) -> None:
        good = {"slots": 1, "length_bound": 100, "device": "cpu"}
        for text, options in (
            ("slots is -1; it must be an integer from 0 to 65536", {"slots": -1}),
            ("length_bound is 0; it must be an integer from 1 to 2^27 tokens", {"length_bound": 0}),
            ("length_bound is True", {"length_bound": True}),
            ("pages is 1.5", {"pages": 1.5}),
            ("layers is empty", {"layers": []}),
            ("layers[1] is 0; layers rise, without repeats, from 0 to 2", {"layers": [0, 0]}),
            ("decode_tokens is 2; the package decodes one token at a time", {"decode_tokens": 2}),
            ("scale is 0; it must be a positive number", {"scale": 0}),
            ("scale is 1e-60, which is 0 as a float32", {"scale": 1e-60}),
            ('rope is "model", and the package has no RoPE', {"rope": "model"}),
            ("rope has nothing to rotate by", {"rope": {}}),
            ("rope.theta is -1; it is a positive number", {"rope": {"theta": -1}}),
            ("rope.inverse_frequencies has 3 values", {"rope": {"inverse_frequencies": [1, 1, 1]}}),
            (
                "say rope.attention_factor too",
                {"rope": {"inverse_frequencies": [1.0, *[0.1] * 31]}},
            ),
            ("rope.cos_sin has 4 values", {"rope": {"cos_sin": torch.ones(4)}}),
            ("cos^2 + sin^2", {"rope": {"cos_sin": torch.rand(100, 32, 2) + 0.1}}),
            ("sink_logits are for a model with learned sinks", {"sink_logits": [[0.0] * 4] * 3}),
            (
                "cache_scales are for a cache in e4m3",
                {"cache_scales": ([[1.0] * 2] * 3, [[1.0] * 2] * 3)},
            ),
            ("the package was loaded for bf16", {"dtype": torch.float16}),
        ):
            with self.subTest(text):
                self.refused(
                    "MOA6106",
                    text,
                    lambda options=options: package().session(**{**good, **options}),
                )
        rotated = {**good, "rope": {"theta": 10000.0}}
        no_rope = package("--no-rope")
        self.refused("MOA6202", "no kernel for these options", lambda: no_rope.session(**rotated))
        if not torch.cuda.is_available():
            self.refused(
                "MOA6001",
                "torch has no GPU",
                lambda: package().session(**{**good, "device": "cuda"}),
            )

    def test_calls(self) -> None:
        session = package().session(slots=2, length_bound=100, device="cpu")
        tensors = Model(session).tensors(2)
        prefill = lambda ends, **given: session.prefill(0, **{**tensors, **given}, cu_seqlens=ends)
        for text, given in (
            (
                "q is [3, 4, 64]; [2, 4, 64] is needed",
                {"q": torch.zeros(3, 4, 64, dtype=torch.bfloat16)},
            ),
            ("k holds fp16; bf16 is needed", {"k": tensors["k"].half()}),
            (
                "v is not contiguous",
                {"v": torch.zeros(2, 64, 2, dtype=torch.bfloat16).transpose(1, 2)},
            ),
            ("out is memory of another device: meta", {"out": tensors["out"].to("meta")}),
            ("lse holds bf16; fp32 is needed", {"lse": tensors["lse"].bfloat16()}),
            (
                "begins at an address",
                {"q": torch.zeros(520, dtype=torch.bfloat16)[1:513].view(2, 4, 64)},
            ),
            ("q is None, not a tensor", {"q": None}),
        ):
            with self.subTest(text):
                self.refused("MOA6103", text, lambda given=given: prefill([0, 1, 2], **given))
        self.refused("MOA6104", "cu_seqlens has 2 entries; 2 slots need 3", lambda: prefill([0, 2]))
        self.refused("MOA6104", "cu_seqlens[2] is 0", lambda: prefill([0, 2, 0]))
        self.refused(
            "MOA6104",
            "new_tokens for numbers on the device",
            lambda: prefill(torch.tensor([0, 1, 2])),
        )
        self.refused("MOA6101", "sequence 1 has 101 tokens", lambda: prefill([0, 0, 101]))
        self.refused(
            "MOA6111", "the session decodes 1 to 1", lambda: session.decode(0, **tensors, tokens=2)
        )
        self.refused(
            "MOA6111", "counts take a session", lambda: session.decode(0, **tensors, counts=[1, 1])
        )
        self.refused(
            "MOA6102",
            "the session has no layer 3; it has layers 0..2",
            lambda: session.decode(3, **tensors),
        )
        numbers = session.new_tokens(budget=3)
        self.refused(
            "MOA6113", "the counts up to slot 1 are 4 tokens together", lambda: numbers.set([2, 2])
        )
        self.refused("MOA6113", "counts[0] is -1", lambda: numbers.set([-1, 2]))
        self.refused("MOA6106", "budget is 0", lambda: session.new_tokens(budget=0))
        other = package().session(slots=2, length_bound=100, device="cpu")
        self.refused(
            "MOA6104", "another session", lambda: other.step(0, **tensors, cu_seqlens=numbers)
        )
        self.assertEqual(session.lengths(0), [0, 0])

    def test_out_of_memory(self) -> None:
        """Each allocation fails in turn: nothing is held though the error is kept, and a session
        that exists is as before."""
        device = Scarce()

        def made() -> moa_compile.Session:
            return package().session(slots=2, length_bound=300, device=device)

        made()
        held, count = device.buffers, device.allocations
        for left in range(count):
            device.left = left
            try:
                made()
                self.fail("nothing was raised")
            except moa_compile.MoaError as error:
                self.assertEqual(error.code, "MOA6006")
                self.assertIn("ask for less", error.help)
                self.assertEqual(device.buffers, held)
        device.left = None
        session, before = made(), device.allocations
        tensors = Model(session).tensors(70)
        session.prefill(0, **tensors, cu_seqlens=[0, 70, 70])
        expected, workspace = tensors["out"].clone(), device.allocations - before
        self.assertGreater(workspace, 1)
        for left in range(workspace):
            session = made()
            device.left = left
            self.refused(
                "MOA6006",
                "bytes were asked for",
                lambda session=session: session.prefill(0, **tensors, cu_seqlens=[0, 70, 70]),
            )
            device.left = None
            self.assertEqual(session.lengths(0), [0, 0])
            self.assertEqual(session.usage().held, 0)
            session.prefill(0, **tensors, cu_seqlens=[0, 70, 70])
            self.assertTrue(torch.equal(tensors["out"], expected))
            session.close()

    def test_close_frees_memory(self) -> None:
        """All of it, though parts of the session are held."""
        device = Scarce()
        session = package().session(slots=2, length_bound=300, device=device)
        session.prefill(0, **Model(session).tensors(70), cu_seqlens=[0, 70, 70])
        numbers = session.new_tokens(budget=9)
        parts = [session._buffers, session._launches]
        self.assertGreater(device.buffers, 20)
        session.close()
        self.assertEqual((device.buffers, len(parts)), (0, 2))
        for call in (lambda: numbers.set([0, 0]), lambda: numbers.cu_seqlens):
            self.refused("MOA6005", "was closed", call)

    def test_a_mistake_of_a_kernel(self) -> None:
        """The emulator finds that a launch leaves its memory, and says where."""
        session = package().session(slots=1, length_bound=100, device="cpu")
        tensors = Model(session).tensors(1)
        session._device._owned.pop(session._buffers.buffers["lengths"].address)
        self.refused("MOA6013", "out-of-bounds", lambda: session.decode(0, **tensors))
