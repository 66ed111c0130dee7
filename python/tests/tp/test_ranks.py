"""Models over 2 and 4 ranks: what one process gives on the package for one rank."""

import json
import unittest

import torch

import moa_compile

from ..hf.models import texts
from ..hf.support import TIE
from . import runs
from .models import Exact, folder_of, model_of
from .started import FAMILIES, WRITERS, checkpoint, on_four_ranks, on_two_ranks


class Ranks(unittest.TestCase):
    def compare(self, family: str, ranks: list[dict], writes: bool) -> None:
        """Results of all ranks with those of one process.

        Logits: a sum over R ranks rounds R parts and R - 1 sums to bf16 where one process rounds
        once. The errors of the parts, each of 1 / sqrt(R) of the size, add up to one more rounding,
        so a sum has at most R roundings more. 2 layers of 2 sums add 4 R to the about 16 of one
        process (tests/hf/support.py): as a random walk sqrt(1 + R / 4), 1.41 for 4 ranks, times its
        error. So errors against float32 are at most twice those of one process, and the 2^-8 of the
        largest logit that rounds itself.
        """
        model, exact = model_of(family), Exact(family)
        moa_compile.attach(model, folder_of(family, 1), length_bound=runs.BOUND)
        self.addCleanup(moa_compile.detach, model)
        one = runs.generation(model, writes)
        logits = exact.logits(runs.BOUND, **runs.prompts())
        usual, error = ((each["logits"] - logits).abs().max().item() for each in (one, ranks[0]))
        self.assertLess(error, 2 * usual + logits.abs().max().item() * 2**-8)
        for name in one:
            for rank in ranks[1:]:
                self.assertTrue(torch.equal(rank[name], ranks[0][name]), f"{name} of ranks differ")
        if writes:
            self.same_text(ranks[0]["greedy"], one["greedy"], exact)
        if len(ranks) == 2 and writes:
            self.assertTrue(torch.equal(ranks[0]["sampled"], one["sampled"]))

    def same_text(self, ours: torch.Tensor, theirs: torch.Tensor, exact: Exact) -> None:
        """Equal tokens, up to the first near tie (`TIE`) of a row."""
        for row, (own, other) in enumerate(zip(ours, theirs)):
            if torch.equal(own, other):
                continue
            at = int((own != other).nonzero()[0])
            begin = max(runs.LENGTHS) - runs.LENGTHS[row]
            logits = exact.logits(runs.BOUND, input_ids=own[None, begin:at])[0, -1]
            best, size = logits.topk(2).values, logits.abs().max()
            where = f"row {row} differs at {at}, where the best logits are {best.tolist()}"
            self.assertLess(float(best[0] - best[1]), TIE * float(size), where)

    def test_two_ranks(self) -> None:
        """Families whose projections differ: with biases, with norms of q and k, fused, with
        windows of the model, and with learned sinks and experts."""
        results = on_two_ranks()["generation"]
        for family in FAMILIES:
            with self.subTest(family):
                ranks = [rank[family] for rank in results]
                self.compare(family, ranks, family in WRITERS)
        shapes = [rank["phi3"]["shapes"] for rank in results]
        self.assertEqual(shapes[1]["model.layers.0.self_attn.qkv_proj.weight"], (8 * 64, 64))
        self.assertEqual(shapes[1]["model.layers.0.mlp.gate_up_proj.weight"], (64, 64))
        whole = model_of("gpt-oss").model.layers[0].mlp.experts.down_proj.shape
        experts = results[0]["gpt-oss"]["shapes"]["model.layers.0.mlp.experts.down_proj"]
        self.assertEqual(experts, tuple(whole))

    def test_four_ranks(self) -> None:
        self.compare("llama", [rank["llama"] for rank in on_four_ranks()["generation"]], True)

    def test_heads_are_not_contiguous(self) -> None:
        """Else the tests above would not see how heads are ordered."""
        file = folder_of("llama", 2) / "tensor-parallel.json"
        layers = json.loads(file.read_text())["layers"]
        self.assertTrue(any(layer["kvHeads"] != [[0, 1], [2, 3]] for layer in layers))

    def test_ways(self) -> None:
        """Divided by attach, before it, or from files: bit for bit one model. Detached it is dense
        over ranks."""
        whole = sum(each.numel() for each in model_of("llama").parameters())
        dense = runs.logits_of(runs.from_files(checkpoint()), texts(100)[0][None])
        for rank in on_two_ranks()["ways"]:
            for name in ("again", "divided", "loaded"):
                self.assertTrue(torch.equal(rank[name], rank["whole"]), name)
            error = (rank["dense"] - dense).abs().max().item()
            # Two runs in bf16, as those that `TIE` is derived for.
            self.assertLess(error, TIE / 2 * dense.abs().max().item())
            self.assertEqual(rank["config"], 8)
            self.assertLess(rank["kept"], 0.6 * whole)

    def test_states(self) -> None:
        """Whole weights are loaded into parts; ranks with unequal numbers of features; tied
        weights."""
        for ranks, features in (
            (on_two_ranks()["states"], (35, 35)),
            (on_four_ranks()["states"], (16, 18, 18, 18)),
        ):
            self.assertEqual(tuple(rank["features"] for rank in ranks), features)
            for rank in ranks:
                for name in ("loaded", "assigned", "tied", "is tied"):
                    self.assertTrue(rank[name], name)
                error = (rank["unequal"] - rank["dense"]).abs().max().item()
                self.assertLess(error, TIE / 2 * rank["dense"].abs().max().item())
                self.assertTrue(torch.equal(rank["unequal"], ranks[0]["unequal"]))
