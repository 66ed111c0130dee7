"""The attention function by itself: its gradient, what an influence means, and what it does not allocate."""

import math
import unittest

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moa_compile.search.blocks import PAGE, Rule, attend, block_sizes, blocks
from moa_compile.search.influence import InfluenceAttention, pair_influence

from .reference import page_sums, pair_influences

RULES = {
    "plain": dict(scaling=0.25),
    "inexact scale": dict(scaling=0.3),
    "window": dict(scaling=0.3, window=17),
    "window of a page": dict(scaling=0.3, window=64),
    "window of one": dict(scaling=0.3, window=1),
    "softcap": dict(scaling=1.5, softcap=0.9),
    "all": dict(scaling=1.5, softcap=0.9, window=70, sinks=True),
}


def inputs(tokens, heads=2, group=2, dim=8, value_dim=6, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    q, k, v = torch.randn(heads, group, tokens, dim), torch.randn(heads, tokens, dim), torch.randn(heads, tokens, value_dim)
    return [x.to(dtype).requires_grad_() for x in (q, k, v)]


def rule_of(name, heads=2, group=2, dtype=torch.float64):
    facts = dict(RULES[name])
    if facts.pop("sinks", False):
        facts["sinks"] = torch.linspace(-1, 1, heads * group).view(heads, group).to(dtype)
    return Rule(**facts)


def whole(q, k, v, rule, removed=None):
    """All scores at once; `removed`: a distance i - j at which no pair is attended."""
    tokens = q.shape[2]
    s = q @ k[:, None].transpose(2, 3) * rule.scaling
    if rule.softcap:
        s = rule.softcap * torch.tanh(s / rule.softcap)
    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)
    s = s.masked_fill((j > i) | (i - j >= (rule.window or tokens)), -math.inf)
    if removed is not None:
        s = s.masked_fill(i - j == removed, -math.inf)
    if rule.sinks is not None:
        s = torch.cat([s, rule.sinks[..., None, None].expand(*s.shape[:3], 1)], -1)
    return torch.softmax(s, -1)[..., :tokens] @ v[:, None]


class Gradient(unittest.TestCase):
    def test_output_and_gradients_are_those_of_autograd(self):
        for name in RULES:
            for tokens, rows in ((1, 64), (63, 64), (64, 64), (150, 64), (150, 128), (150, None)):
                with self.subTest(name, tokens=tokens, rows=rows):
                    given, rule = inputs(tokens), rule_of(name)
                    pages = -(-tokens // PAGE)
                    out = InfluenceAttention.apply(*given, rule, torch.zeros(2, 2, 2, pages, pages, dtype=torch.float64), rows)
                    expected = whole(*given, rule)
                    torch.testing.assert_close(out, expected)
                    weight = torch.randn_like(out)
                    torch.testing.assert_close(torch.autograd.grad((out * weight).sum(), given), torch.autograd.grad((expected * weight).sum(), given))

    def test_an_influence_is_the_change_of_a_linear_loss_when_a_pair_is_removed(self):
        tokens = 70
        for name in ("plain", "window", "softcap", "all"):
            with self.subTest(name):
                given, rule = inputs(tokens), rule_of(name)
                sums = torch.zeros(2, 2, 2, 2, 2, dtype=torch.float64)
                weight = torch.randn(2, 2, tokens, 6, dtype=torch.float64)
                (InfluenceAttention.apply(*given, rule, sums, 64) * weight).sum().backward()
                with torch.no_grad():
                    before = (whole(*given, rule) * weight).sum(3)
                    changes = torch.zeros(2, 2, tokens, tokens, dtype=torch.float64)
                    for distance in range(min(tokens, rule.window or tokens)):
                        # A row loses one pair, and no other row notices. A row without keys gives nothing.
                        after = (whole(*given, rule, distance).nan_to_num(0.0) * weight).sum(3)
                        i = torch.arange(distance, tokens)
                        changes[:, :, i, i - distance] = (after - before).abs()[:, :, distance:]
                expected = torch.stack([torch.stack([page_sums(changes[h, g].tolist(), 2) for g in range(2)]) for h in range(2)])
                torch.testing.assert_close(sums, expected, rtol=1e-9, atol=1e-11)


class Rounding(unittest.TestCase):
    def test_float32_holds_where_A_is_close_to_one(self):
        torch.manual_seed(1)
        for spread in (1.0, 10.0, 40.0, 200.0):
            with self.subTest(spread):
                s = torch.randn(1, 1, 400, 96) * spread
                g = torch.randn(1, 1, 400, 96)
                found = []
                d_s = pair_influence(torch.softmax(s, -1), g.clone(), None, lambda t: found.append(t.clone()))
                a, g64 = torch.softmax(s.double(), -1), g.double()
                top = a.argmax(-1, keepdim=True)
                others = a.scatter(-1, top, 0.0)
                rest = torch.where(torch.zeros_like(a).scatter(-1, top, 1.0) > 0, others.sum(-1, keepdim=True), 1 - a)
                # Without cancellation: sum over k of A_k (g_k - g_j).
                change = torch.einsum("bhik,bhikj->bhij", a, g64[..., :, None] - g64[..., None, :])
                expected = torch.where(rest > 1e-36, (a * change / rest).abs(), (a * g64).abs())
                # float32 has no smaller numbers than about 1e-38: rows whose rest is below are |g A| here.
                usable = (others.sum(-1, keepdim=True) > 1e-34) | (others.sum(-1, keepdim=True) < 1e-46)
                torch.testing.assert_close(found[0].double() * usable, expected * usable, rtol=2e-4, atol=2e-5)
                torch.testing.assert_close(d_s.double(), -a * change, rtol=2e-4, atol=2e-5)

    def test_a_row_of_one_key_is_the_product_of_its_slope_and_weight(self):
        found = []
        d_s = pair_influence(torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[-3.0, 7.0]]]]), None, lambda t: found.append(t.tolist()))
        self.assertEqual(found, [[[[[3.0, 0.0]]]]])
        self.assertEqual(d_s.tolist(), [[[[0.0, 0.0]]]])
        self.assertEqual(pair_influences([[1.0]], [[-3.0]]), [[3.0]])


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation gives."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return result


class Memory(unittest.TestCase):
    def test_nothing_is_as_large_as_all_pairs(self):
        tokens = 1024
        given, rule = inputs(tokens, dim=4, value_dim=4, dtype=torch.float32), Rule(0.5)
        sums = torch.zeros(2, 2, 2, tokens // PAGE, tokens // PAGE)
        with _Largest() as largest:
            # A function of autograd's own runs its backward under this mode only when called in here.
            InfluenceAttention.apply(*given, rule, sums, 64).sum().backward()
        self.assertGreater(float(sums.sum()), 0)
        self.assertGreaterEqual(largest.elements, 4 * 64 * 512)
        self.assertLessEqual(largest.elements, 4 * 64 * tokens)

    def test_keys_after_a_block_and_before_its_window_are_not_touched(self):
        for block in blocks(2, 640, (128, 1), 100):
            self.assertLessEqual(block.end - block.low, 128 + 64 + 100)
            self.assertEqual(block.low % PAGE, 0)
            self.assertTrue(block.low <= max(0, block.first - 99))
        q, k, v = [x.detach() for x in inputs(200)]
        k[:, 128:] = math.nan
        v[:, 128:] = math.nan
        self.assertTrue(bool(attend(q, k, v, Rule(1.0), 64)[:, :, :128].isfinite().all()))

    def test_sizes_of_blocks(self):
        cuda, cpu = torch.device("cuda"), torch.device("cpu")
        for device, budget in ((cuda, 1 << 30), (cpu, 64 << 20)):
            for heads, group, tokens in ((8, 4, 8192), (8, 4, 131072), (8, 8, 1 << 20), (1, 1, 64), (3, 1, 100), (32, 1, 2048)):
                rows, part = block_sizes(heads, group, tokens, device)
                self.assertEqual(rows % PAGE, 0)
                self.assertTrue(1 <= part <= heads and PAGE <= rows <= 1024)
                self.assertTrue(part == 1 and rows == PAGE or 20 * part * group * rows * tokens <= budget)
        self.assertEqual(block_sizes(8, 4, 8192, cuda, rows=512)[0], 512)


if __name__ == "__main__":
    unittest.main()
