"""What is refused because parts would not add up to the whole model, without other processes: each
rank finds that by itself. The package's heads are those of `tests/tp/models.py`."""

import unittest
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import CohereConfig, HunYuanDenseV1Config, Olmo2Config

import moa_compile
from moa_compile.tp.assignment import Assignment, LayerHeads
from moa_compile.tp.shard import divide, shard_of

from ..hf.models import HEAD_DIM, LAYERS
from . import odd
from .models import KV_HEADS, QUERY_HEADS, model_of

# How many there are, and which: the first and the last.
RANKS = ((2, 0), (2, 1), (4, 0), (4, 3))


def assignment_of(ranks: int) -> Assignment:
    """KV heads in another order than the model's: rank 0 has the last."""
    each = KV_HEADS // ranks
    heads = [tuple(range(KV_HEADS))[::-1][rank * each : (rank + 1) * each] for rank in range(ranks)]
    layer = tuple(LayerHeads(tuple(q for h in kv for q in (2 * h, 2 * h + 1)), kv) for kv in heads)
    packages = tuple(f"rank{rank}" for rank in range(ranks))
    sizes = (QUERY_HEADS, KV_HEADS, HEAD_DIM)
    return Assignment(Path(), packages, *sizes, (layer,) * LAYERS, "digest")


class Checks(unittest.TestCase):
    def divided(self, model, ranks: int, rank: int) -> ExitStack:
        undo = ExitStack()
        self.addCleanup(undo.close)
        with ExitStack() as failed:
            divide(model.model, assignment_of(ranks), rank, None, "", failed)
            undo.push(failed.pop_all())
        return undo

    def refused(self, model, *texts: str, by=RANKS) -> None:
        """The model is then as before."""
        before = self.state(model)
        for ranks, rank in by:
            with self.subTest(ranks=ranks, rank=rank):
                with self.assertRaises(moa_compile.MoaError) as raised:
                    self.divided(model, ranks, rank)
                self.assertEqual(raised.exception.code, "MOA6322")
                for text in texts:
                    self.assertIn(text, str(raised.exception))
                self.assertEqual(self.state(model), before)

    def state(self, model) -> list[object]:
        state: list[object] = [id(each) for each in model.parameters()]
        for module in model.modules():
            own = {n: v for n, v in vars(module).items() if isinstance(v, (int, str, bool))}
            hooks = len(module._forward_hooks), len(module._state_dict_pre_hooks)
            state += [own, hooks, "forward" in vars(module), id(getattr(module, "config", None))]
        return [*state, model.config._attn_implementation]

    def taken(self, model) -> None:
        for ranks, rank in RANKS:
            before = self.state(model)
            undo = self.divided(model, ranks, rank)
            self.assertIsNotNone(shard_of(model.model))
            undo.close()
            self.assertEqual(self.state(model), before)

    def test_mlps(self) -> None:
        """Statistics over all features."""
        where = ("layers.1.mlp.down_proj", "depends on heads or features of other ranks")
        between = {
            "mean": lambda x: x - x.mean(-1, keepdim=True),
            "norm": odd.rms,
            "softmax": lambda x: x.softmax(-1),
            "best": odd.best,
            "quantized": odd.quantized,
            "order": lambda x: x.flip(-1),
        }
        for name, each in between.items():
            with self.subTest(name):
                self.refused(odd.with_mlp(lambda each=each: odd.Mlp(each)), *where)
        with self.subTest("sums of those before"):
            # The first rank has nothing before it; `attach` fails on it because others do.
            model = odd.with_mlp(lambda: odd.Mlp(lambda x: x.cumsum(-1)))
            self.refused(model, *where, by=RANKS[1::2])
        with self.subTest("Gemma 3n"):
            self.refused(odd.with_mlp(lambda: odd.gemma3n_mlp(0.95)), *where)
        with self.subTest("order of a fused weight"):
            pairs = lambda x: (x[..., ::2], x[..., 1::2])
            self.refused(odd.with_mlp(lambda: odd.FusedMlp(pairs)), *where)

    def test_mlps_of_separate_features(self) -> None:
        halves = lambda x: x.chunk(2, -1)
        clamped = lambda x: functional.dropout(x, 0.5, training=False).clamp(-1, 1)
        for make in (
            lambda: odd.Mlp(clamped),
            lambda: odd.gemma3n_mlp(0.0),
            lambda: odd.FusedMlp(halves),
        ):
            self.taken(odd.with_mlp(make))
        training = odd.with_mlp(lambda: odd.Mlp(nn.Dropout(0.5))).train()
        self.taken(training)

    def test_weights(self) -> None:
        """Used by others than a plain linear layer."""
        self.refused(odd.with_mlp(odd.ReadsWeight), "is called 0 times")
        self.refused(odd.with_mlp(odd.NormsWeight), "change the output of the decoder")
        self.refused(odd.with_mlp(odd.Splits), "does not run as one rank's part")
        quantized = odd.with_mlp(odd.Mlp)
        quantized.model.layers[1].mlp.up_proj = odd.BitLinear(64, 64)
        self.refused(quantized, "up_proj is BitLinear with a forward of its own")
        replaced = model_of("llama")
        linear = replaced.model.layers[0].self_attn.o_proj
        linear.forward = linear.forward
        self.refused(replaced, "forward of its own")
        scaled = model_of("llama")
        scaled.model.layers[0].mlp.up_proj.register_buffer("scale", torch.ones(1))
        self.refused(scaled, "up_proj has scale")
        integers = model_of("llama")
        weight = torch.zeros(64, 64, dtype=torch.int8)
        integers.model.layers[0].mlp.up_proj.weight = nn.Parameter(weight, requires_grad=False)
        self.refused(integers, "Tensor of torch.int8")
        shared = model_of("llama")
        shared.model.layers[1].mlp = shared.model.layers[0].mlp
        self.refused(shared, "layers.1.mlp", "the same module as layers.0.mlp")

    def test_attention(self) -> None:
        depends = "depends on heads or features of other ranks"
        cases = {
            "norm of q": odd.with_output_hook("q_proj", odd.rms),
            "norm of k": odd.with_output_hook("k_proj", odd.rms),
            "norm behind attention": odd.with_input_hook("o_proj", odd.rms),
            "order of heads": odd.with_output_hook("v_proj", lambda x: x.roll(HEAD_DIM, -1)),
            "fused weight": odd.with_output_hook("qkv_proj", odd.by_groups, "phi3"),
        }
        for name, model in cases.items():
            with self.subTest(name):
                self.refused(model, "layers.0.self_attn.o_proj", depends)
        with self.subTest("leak"):
            self.refused(odd.leaking(), "change the output of the decoder")
        # Each head by itself, and a change of the sum.
        each = lambda x: odd.rms(x.unflatten(-1, (-1, HEAD_DIM))).flatten(-2)
        self.taken(odd.with_output_hook("q_proj", each))
        self.taken(odd.with_output_hook("o_proj", lambda x: x + 1))

    def test_families(self) -> None:
        """Norms with a weight for each head, norms by other names, fused projections, soft caps,
        learned sinks and experts, and features that ranks cannot share evenly."""
        self.taken(odd.other(CohereConfig, use_qk_norm=True))
        self.taken(odd.other(HunYuanDenseV1Config))
        for family in ("phi3", "gemma2", "gemma3", "gpt-oss", "qwen3"):
            with self.subTest(family):
                self.taken(model_of(family))
        self.taken(model_of("llama", intermediate_size=65))
        self.refused(odd.other(Olmo2Config), "q_norm.weight [512] cannot be divided by heads")
        self.refused(model_of("llama", intermediate_size=1), "1 intermediate features")
