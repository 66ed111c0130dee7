"""Operators of torch.library: their schemas, fakes and order, as torch checks them."""

import unittest

import torch

from moa_compile import ops

from .packages import LAYERS, obstacle, package
from .reference import Model

REASON = obstacle()


@unittest.skipIf(REASON is not None, REASON)
class Operators(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        options = {
            "slots": 2,
            "length_bound": 500,
            "rope": {"theta": 10000.0},
            "decode_tokens": 3,
            "device": "cpu",
        }
        cls.session = package("--decode-tokens", "3", "--slack", "64").session(**options)
        cls.model = Model(cls.session)

    def setUp(self) -> None:
        self.session.reset()

    def check(self, name: str, rows: int, *rest: object) -> None:
        tensors, session = self.model.tensors(rows), self.session
        own = (tensors["q"], tensors["k"], tensors["v"], tensors["out"])
        for lse in (None, tensors["lse"]):
            arguments = (*own, lse, session.order, session.handle, 0, *rest)
            found = torch.library.opcheck(getattr(torch.ops.moa_compile, name).default, arguments)
            self.assertEqual(set(found.values()), {"SUCCESS"})

    def test_decode(self) -> None:
        self.check("decode", 2)

    def test_decode_of_several_tokens(self) -> None:
        self.check("decode_tokens", 4, 2, None)
        self.check("decode_tokens", 6, 3, torch.tensor([3, 0], dtype=torch.int32))

    def test_prefill(self) -> None:
        self.check("prefill", 5, [0, 3, 5])

    def test_step(self) -> None:
        self.check("step", 5, [0, 4, 5])
        numbers = self.session.new_tokens(budget=5)
        numbers.set([4, 1])
        self.check("step_new_tokens", 5, numbers.handle)

    def test_a_compiled_function_does_the_same(self) -> None:
        tensors = self.model.tensors(5)

        def run(q, k, v, out):
            result = out * 1
            for layer in range(LAYERS):
                ops.prefill(self.session, layer, q * 1, k * 1, v, result, cu_seqlens=[0, 4, 5])
            one = result[3:5].clone()
            for layer in range(LAYERS):
                ops.decode(self.session, layer, q[3:5].clone(), k[3:5].clone(), v[3:5].clone(), one)
            return result + 1, one

        own = [tensors[name] for name in ("q", "k", "v", "out")]
        compiled = torch.compile(run, backend="aot_eager", fullgraph=True)(*own)
        self.assertEqual(self.session.lengths(2), [5, 2])
        self.session.reset()
        for found, wanted in zip(compiled, run(*own)):
            self.assertTrue(torch.equal(found, wanted))

    def test_the_session_has_to_be_there(self) -> None:
        tensors = self.model.tensors(2)
        own = (tensors["q"], tensors["k"], tensors["v"], tensors["out"], None, self.session.order)
        with self.assertRaisesRegex(Exception, "MOA6005"):
            torch.ops.moa_compile.decode.default(*own, 10**6, 0)
