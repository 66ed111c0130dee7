"""Captured steps: on the emulator the launches of a block are recorded, and each replay counts its
tokens."""

import unittest

import torch

import moa_compile

from .packages import LAYERS, obstacle, package
from .reference import Model

REASON = obstacle()
MANY = ("--decode-tokens", "3", "--slack", "64")


@unittest.skipIf(REASON is not None, REASON)
class Graphs(unittest.TestCase):
    def two(self, *options: str, **arguments) -> tuple[Model, Model]:
        """The same session twice: one for calls, one for captures."""
        arguments = {
            "slots": 2,
            "length_bound": 300,
            "device": "cpu",
            "rope": {"theta": 10000.0},
            **arguments,
        }
        models = tuple(Model(package(*options).session(**arguments)) for _ in range(2))
        for model in models:
            for slot in range(2):
                model.begin(slot)
        tensors = [models[0].tensors(203) for _ in range(LAYERS)]
        for layer, own in enumerate(tensors):
            for model in models:
                model.session.prefill(
                    layer, **{n: t.clone() for n, t in own.items()}, cu_seqlens=[0, 200, 203]
                )
        return models

    def refused(self, code: str, call) -> None:
        with self.assertRaises(moa_compile.MoaError) as raised:
            call()
        self.assertEqual(raised.exception.code, code)

    def test_replays_of_decode(self) -> None:
        called, captured = self.two()
        tensors = [called.tensors(2) for _ in range(LAYERS)]
        with captured.session.graph() as step:
            for layer, own in enumerate(tensors):
                captured.session.decode(layer, **own)
        self.assertEqual(captured.session.lengths(0), [200, 3])
        for _ in range(3):
            fresh = [called.tensors(2) for _ in range(LAYERS)]
            for own, new in zip(tensors, fresh):
                for name, tensor in new.items():
                    own[name].copy_(tensor)
            step.replay()
            for layer, own in enumerate(fresh):
                called.session.decode(layer, **own)
                self.assertTrue(torch.equal(own["out"], tensors[layer]["out"]))
        self.assertEqual(captured.session.lengths(2), [203, 6])
        self.assertEqual(captured.session.usage(), called.session.usage())
        captured.session.truncate(0, 202)
        step.replay()
        self.assertEqual(captured.session.lengths(1), [203, 7])

    def test_a_replay_that_does_not_fit_changes_nothing(self) -> None:
        _, captured = self.two(length_bound=202)
        tensors = captured.tensors(2)
        with captured.session.graph() as step:
            for layer in range(LAYERS):
                captured.session.decode(layer, **tensors)
        step.replay()
        step.replay()
        before = tensors["out"].clone()
        self.refused("MOA6101", step.replay)
        self.assertTrue(torch.equal(before, tensors["out"]))
        self.assertEqual(captured.session.lengths(0), [202, 5])
        captured.session.close()
        self.refused("MOA6005", step.replay)

    def test_steps_of_any_numbers(self) -> None:
        called, captured = self.two()
        numbers = captured.session.new_tokens(budget=60)
        tensors = [called.tensors(60) for _ in range(LAYERS)]
        came = [{name: tensor.clone() for name, tensor in own.items()} for own in tensors]
        with captured.session.graph() as step:
            for layer, own in enumerate(tensors):
                captured.session.step(layer, **own, cu_seqlens=numbers)
        for counts in ([1, 1], [50, 1], [0, 60], [1, 0]):
            rows = sum(counts)
            for own, first in zip(tensors, came):
                for name, tensor in first.items():
                    own[name].copy_(tensor)
            numbers.set(counts)
            step.replay()
            for layer, first in enumerate(came):
                own = {name: tensor[:rows].clone() for name, tensor in first.items()}
                called.session.step(layer, **own, cu_seqlens=[0, counts[0], rows])
                self.assertTrue(torch.equal(own["out"], tensors[layer]["out"][:rows]))
                self.assertEqual(called.session.lengths(layer), captured.session.lengths(layer))
            self.assertEqual(called.session.usage(), captured.session.usage())
        captured.session.remove(1)
        numbers.set([0, 1])
        self.refused("MOA6107", step.replay)

    def test_counts(self) -> None:
        called, captured = self.two(*MANY, decode_tokens=3)
        counts = torch.tensor([2, 1], dtype=torch.int32)
        tensors = captured.tensors(4)
        with captured.session.graph() as step:
            captured.session.decode(0, **tensors, tokens=2, counts=counts)
            captured.session.decode(1, **tensors, tokens=2, counts=[1, 2])
        step.replay()
        counts.copy_(torch.tensor([0, 2]))
        step.replay()
        self.assertEqual(captured.session.lengths(0), [202, 6])
        self.assertEqual(captured.session.lengths(1), [202, 7])

    def test_sessions_of_one_graph(self) -> None:
        first, second = self.two()
        tensors = first.tensors(2)
        with first.session.graph() as step:
            first.session.decode(0, **tensors)
            second.session.decode(0, **tensors)
            second.session.decode(0, **tensors)
        step.replay()
        self.assertEqual(
            (first.session.lengths(0), second.session.lengths(0)), ([201, 4], [202, 5])
        )
        second.session.remove(0)
        second.session.add()
        step.replay()
        self.assertEqual((first.session.lengths(0), second.session.lengths(0)), ([202, 5], [2, 7]))

    def test_what_a_capture_refuses(self) -> None:
        first, second = self.two()
        tensors = first.tensors(2)
        with first.session.graph() as step:
            first.session.decode(0, **tensors)
            for call in (
                lambda: first.session.prefill(0, **tensors, cu_seqlens=[0, 1, 2]),
                lambda: first.session.step(0, **tensors, cu_seqlens=[0, 1, 2]),
                lambda: first.session.add(),
                lambda: first.session.reset(),
                lambda: first.session.new_tokens(budget=3),
                lambda: step.replay(),
                lambda: second.session.graph().__enter__(),
            ):
                self.refused("MOA6011", call)
        step.replay()
        self.assertEqual(first.session.lengths(0), [201, 4])
        with self.assertRaises(ZeroDivisionError), first.session.graph() as failed:
            first.session.decode(0, **tensors)
            raise ZeroDivisionError
        self.refused("MOA6011", failed.replay)
        first.session.decode(0, **tensors)

    def test_a_capture_of_torch_that_nobody_counts(self) -> None:
        class Capturing(moa_compile.Emulator):
            captures = False

            def is_capturing(self) -> bool:
                return self.captures

        device = Capturing()
        options = {"slots": 1, "length_bound": 300, "device": device}
        session = package().session(**options)
        numbers = session.new_tokens(budget=4)
        device.captures = True
        tensors = Model(session).tensors(1)
        for call in (
            lambda: session.decode(0, **tensors),
            lambda: session.prefill(0, **tensors, cu_seqlens=[0, 1]),
            lambda: session.step(0, **tensors, cu_seqlens=numbers),
            lambda: numbers.set([1]),
            lambda: session.remove(0),
            lambda: package().session(**options),
        ):
            self.refused("MOA6011", call)
        device.captures = False
        session.decode(0, **tensors)
        self.assertEqual(session.lengths(0), [1])

    def test_layers_that_are_no_longer_in_step(self) -> None:
        model, _ = self.two()
        tensors = model.tensors(2)
        with model.session.graph() as step:
            for layer in range(LAYERS):
                model.session.decode(layer, **tensors)
        model.session.decode(1, **tensors)
        self.refused("MOA6011", step.replay)
