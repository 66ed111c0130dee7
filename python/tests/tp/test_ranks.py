"""Models over 2 and 4 ranks: what one process gives on the package for one rank."""

import json
import unittest

import torch

import moa_compile

from ..hf.support import REASON, TIE

try:
    from ..hf.models import texts
    from .models import Exact, folder_of, model_of
    from .processes import run_ranks
    from .runs import BOUND, LENGTHS, generation, logits_of, padded, rank_generation, rank_ways
except ImportError:
    pass

FAMILIES = ("llama", "qwen3", "phi3", "gemma3", "gpt-oss")


@unittest.skipIf(REASON is not None, REASON)
class Ranks(unittest.TestCase):
    def compare(self, family: str, ranks: list[dict]) -> None:
        """Results of all ranks with those of one process.

        Logits: a sum over R ranks rounds R parts and R - 1 sums to bf16 where one process rounds
        once. The errors of the parts, each of 1 / sqrt(R) of the size, add up to one more rounding,
        so a sum has at most R roundings more. 2 layers of 2 sums add 4 R to the about 16 of one
        process (tests/hf/support.py): as a random walk sqrt(1 + R / 4), 1.41 for 4 ranks, times its
        error. So errors against float32 are at most twice those of one process, and the 2^-8 of the
        largest logit that rounds itself.
        """
        model = model_of(family)
        moa_compile.attach(model, folder_of(family, 1), length_bound=BOUND)
        one = generation(model)
        exact = Exact(family).logits(BOUND, **padded(texts(*LENGTHS)))
        usual = (one["logits"] - exact).abs().max().item()
        error = (ranks[0]["logits"] - exact).abs().max().item()
        self.assertLess(error, 2 * usual + exact.abs().max().item() * 2**-8)
        for rank in ranks[1:]:
            for name in ("logits", "greedy", "sampled"):
                self.assertTrue(torch.equal(rank[name], ranks[0][name]), f"{name} of ranks differ")
        for name in ("greedy", "sampled"):
            self.assertTrue(torch.equal(ranks[0][name], one[name]), f"{name} text differs")
        moa_compile.detach(model)

    def test_two_ranks(self) -> None:
        """Families whose projections differ: with biases, with norms of q and k, fused, with
        windows of the model, and with learned sinks and experts."""
        folders = {family: str(folder_of(family, 2)) for family in FAMILIES}
        results = run_ranks(2, rank_generation, folders)
        for family in FAMILIES:
            with self.subTest(family):
                self.compare(family, [rank[family] for rank in results])
        shapes = [rank["phi3"]["shapes"] for rank in results]
        self.assertEqual(shapes[1]["model.layers.0.self_attn.qkv_proj.weight"], (8 * 64, 64))
        self.assertEqual(shapes[1]["model.layers.0.mlp.gate_up_proj.weight"], (64, 64))
        whole = model_of("gpt-oss").model.layers[0].mlp.experts.down_proj.shape
        experts = results[0]["gpt-oss"]["shapes"]["model.layers.0.mlp.experts.down_proj"]
        self.assertEqual(experts, tuple(whole))

    def test_four_ranks(self) -> None:
        results = run_ranks(4, rank_generation, {"llama": str(folder_of("llama", 4))})
        self.compare("llama", [rank["llama"] for rank in results])

    def test_heads_are_not_contiguous(self) -> None:
        """Else the tests above would not see how heads are ordered."""
        file = folder_of("llama", 2) / "tensor-parallel.json"
        layers = json.loads(file.read_text())["layers"]
        self.assertTrue(any(layer["kvHeads"] != [[0, 1], [2, 3]] for layer in layers))

    def test_ways(self) -> None:
        """Divided by attach, before it, or from files: bit for bit one model. Detached it is dense
        over ranks."""
        model = model_of("llama")
        checkpoint = folder_of("llama", 2).parent / "checkpoint"
        model.save_pretrained(checkpoint, max_shard_size="100KB")
        self.assertTrue((checkpoint / "model.safetensors.index.json").exists())
        results = run_ranks(2, rank_ways, str(folder_of("llama", 2)), str(checkpoint))
        dense = logits_of(model, texts(100)[0][None])
        for rank in results:
            for name in ("again", "divided", "loaded"):
                self.assertTrue(torch.equal(rank[name], rank["whole"]), name)
            error = (rank["dense"] - dense).abs().max().item()
            # Two runs in bf16, as those that `TIE` is derived for.
            self.assertLess(error, TIE / 2 * dense.abs().max().item())
            self.assertEqual(rank["config"], 8)
            self.assertLess(rank["kept"], 0.6 * sum(each.numel() for each in model.parameters()))
