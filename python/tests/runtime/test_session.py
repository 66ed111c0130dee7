"""Sessions against the mask of the plan in float64, on the emulator."""

import unittest

import torch

import moa_compile

from .packages import LAYERS, obstacle, package
from .reference import Model, window

# Outputs are up to 2 in bf16, whose neighbours are 2^-7 apart there; errors of out are divided by
# 4.
TOLERANCE = 2**-8
MANY = ("--decode-tokens", "3", "--slack", "64")
THETA = 10000.0
REASON = obstacle()


@unittest.skipIf(REASON is not None, REASON)
class Attention(unittest.TestCase):
    def session(self, *options: str, theta: float | None = None, **arguments) -> Model:
        rope = "none" if theta is None else {"theta": theta}
        arguments = {"slots": 3, "length_bound": 500, "device": "cpu", "rope": rope, **arguments}
        session = package(*options).session(**arguments)
        model = Model(session, theta)
        if not arguments.get("slots_free"):
            for slot in range(arguments["slots"]):
                model.begin(slot)
        return model

    def check(self, model: Model) -> None:
        self.assertLess(model.worst, TOLERANCE)
        model.worst = 0.0

    def test_prompts_chunks_and_decode(self) -> None:
        for theta in (None, THETA):
            with self.subTest(theta=theta):
                model = self.session(theta=theta)
                self.assertLess(window(1, 0, 500), 300)
                model.packed("prefill", [300, 130, 0])
                self.check(model)
                model.packed("prefill", [100, 1, 70])
                self.check(model)
                for _ in range(3):
                    model.decode()
                    self.check(model)
                for layer in range(LAYERS):
                    self.assertEqual(model.session.lengths(layer), [403, 134, 73])

    def test_kernels_of_hopper(self) -> None:
        model = self.session("--arch", "9.0a", theta=THETA)
        model.packed("prefill", [130, 200, 3])
        model.packed("prefill", [70, 0, 3])
        model.decode()
        model.packed("step", [1, 66, 0])
        self.check(model)

    def test_sequences_with_bounds_of_their_own(self) -> None:
        model = self.session(slots_free=True)
        self.assertEqual(
            [model.add(), model.add(length_bound=200), model.add(length_bound=128)], [0, 1, 2]
        )
        self.assertNotEqual(model.session.windows(0, 0), model.session.windows(0, 1))
        self.assertEqual(model.session.windows(1, 1), [window(1, head, 200) for head in range(4)])
        model.packed("prefill", [300, 150, 100])
        model.decode()
        self.check(model)
        model.remove(1)
        self.assertEqual(model.session.lengths(0), [301, -1, 101])
        model.decode()
        self.check(model)
        self.assertEqual(model.add(length_bound=64), 1)
        model.packed("step", [1, 40, 1])
        self.check(model)
        self.assertEqual(model.session.length_bounds(), [500, 64, 128])

    def test_rows_of_free_slots(self) -> None:
        model = self.session(slots_free=True)
        model.add()
        tensors = model.tensors(3)
        model.session.decode(0, **tensors)
        self.assertEqual(tensors["out"][1:].abs().max(), 0)
        self.assertTrue(torch.isneginf(tensors["lse"][1:]).all())

    def test_several_tokens_counts_and_truncation(self) -> None:
        for theta in (None, THETA):
            with self.subTest(theta=theta):
                model = self.session(*MANY, theta=theta, decode_tokens=3)
                model.packed("prefill", [300, 130, 1])
                model.decode(2)
                model.decode(3, [3, 0, 1])
                self.check(model)
                self.assertEqual(model.session.lengths(2), [305, 132, 4])
                model.truncate(0, 303)
                model.truncate(1, 100)
                model.decode()
                self.check(model)
                counts = torch.tensor([1, 2, 0], dtype=torch.int32)
                model.session.decode(0, **model.tensors(6), tokens=2, counts=counts)
                self.assertEqual(model.session.lengths(0), [305, 103, 5])

    def test_steps_with_numbers_on_the_device(self) -> None:
        model = self.session(theta=THETA)
        numbers = model.session.new_tokens(budget=150)
        for counts in ([100, 50, 0], [1, 1, 80], [0, 1, 1], [70, 0, 1], [0, 0, 0]):
            numbers.set(counts)
            self.assertEqual(numbers.counts, tuple(counts))
            model.packed("step", counts, numbers)
            self.check(model)
        self.assertEqual(numbers.cu_seqlens.tolist(), [0, 0, 0, 0])

    def test_calls_that_are_like_the_one_before(self) -> None:
        # What was found for one layer holds for the others, and not for what came since.
        model = self.session(slots_free=True)
        session = model.session
        model.add(length_bound=130)
        model.add(length_bound=200)
        for _ in range(2):
            model.packed("step", [60, 1, 0])
        model.packed("prefill", [1, 60, 0])
        self.check(model)
        ends = [0, 1, 2, 2]
        session.step(0, **model.tensors(2), cu_seqlens=ends)
        ends[1:] = [2, 2, 2]
        session.step(1, **model.tensors(2), cu_seqlens=ends)
        self.assertEqual([session.lengths(0), session.lengths(1)], [[122, 63, -1], [123, 62, -1]])
        with self.assertRaises(moa_compile.MoaError) as raised:
            session.step(0, **model.tensors(9), cu_seqlens=[0, 9, 9, 9])
        self.assertEqual(raised.exception.code, "MOA6101")
        session.step(0, **model.tensors(2), cu_seqlens=ends)
        session.remove(0)
        for other, code in ((ends, "MOA6107"), ([0, 2.0, 2, 2], "MOA6104")):
            with self.assertRaises(moa_compile.MoaError) as raised:
                session.step(1, **model.tensors(2), cu_seqlens=other)
            self.assertEqual(raised.exception.code, code)
        with self.assertRaises(moa_compile.MoaError) as raised:
            session.step(0, **model.tensors(3), cu_seqlens=ends)
        self.assertEqual(raised.exception.code, "MOA6103")

    def test_layers_of_a_session_and_reset(self) -> None:
        session = package().session(slots=1, length_bound=300, device="cpu", layers=[1, 2])
        model = Model(session)
        model.begin(0)
        for layer in (1, 2):
            tensors = model.tensors(70)
            session.prefill(layer, **tensors, cu_seqlens=[0, 70])
        self.assertEqual(session.lengths(2), [70])
        session.reset()
        self.assertEqual((session.lengths(1), session.usage().held), ([0], 0))
        with self.assertRaises(moa_compile.MoaError) as raised:
            session.lengths(0)
        self.assertEqual(raised.exception.code, "MOA6102")
        self.assertIn("it has layers 1..2", str(raised.exception))

    def test_tables_of_rope(self) -> None:
        """The same rotation by frequencies and by cos and sin."""
        inverse = [THETA ** (-pair / 32) for pair in range(32)]
        angles = torch.arange(500, dtype=torch.float64)[:, None] * torch.tensor(
            inverse, dtype=torch.float64
        )
        cos_sin = torch.stack((angles.cos(), angles.sin()), -1).float()
        for rope in ({"inverse_frequencies": inverse}, {"cos_sin": cos_sin}):
            model = Model(
                package().session(slots=1, length_bound=500, device="cpu", rope=rope), THETA
            )
            model.begin(0)
            model.packed("prefill", [300])
            model.decode()
            self.check(model)

    def test_memory(self) -> None:
        session = package().session(slots=3, length_bound=500, device="cpu")
        before = package().memory(slots=3, length_bound=500)
        self.assertEqual(
            (before.cache, before.layers), (session.memory.cache, session.memory.layers)
        )
        self.assertEqual(
            session.memory.total, before.cache + session.memory.tables + session.memory.workspace
        )
        self.assertEqual(session.usage().pages * session.usage().page_bytes, before.cache)
        self.assertEqual(before.dense, 3 * 2 * 3 * 500 * 256)

    def test_memory_goes_with_the_session(self) -> None:
        emulator = moa_compile.Emulator()
        model = self.session(device=emulator)
        model.packed("prefill", [300, 1, 1])
        with model.session.graph() as step:
            model.session.decode(0, **model.tensors(3))
        self.assertGreater(len(emulator._owned), 0)
        del model
        step.replay()
        del step
        self.assertEqual(len(emulator._owned), 0)

    def test_the_emulator_runs_any_seed_alike(self) -> None:
        outputs = []
        for seed in (1, 2):
            emulator = moa_compile.Emulator(seed=seed, multiprocessors=3)
            model = Model(package().session(slots=1, length_bound=300, device=emulator))
            model.begin(0)
            tensors = model.tensors(150)
            model.session.prefill(0, **tensors, cu_seqlens=[0, 150])
            outputs.append(tensors["out"])
        self.assertTrue(torch.equal(*outputs))
