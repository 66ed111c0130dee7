"""Tiny models with more heads than those of tests/hf, a plan that shares them out unevenly, its
packages for one rank and for several, and the model under the plan's mask without kernels."""

import functools
from pathlib import Path

import torch

import moa_compile

from ..hf.models import HEAD_DIM, LAYERS, WINDOWS, compiled, config_of, tiny_model
from ..hf.reference import Reference
from ..runtime.packages import plan_of

QUERY_HEADS, KV_HEADS = 8, 4
_SIZES = {"num_attention_heads": QUERY_HEADS, "num_key_value_heads": KV_HEADS}
# Biases are added once, behind the sum.
_OPTIONS = {"llama": {"attention_bias": True, "mlp_bias": True}}
# KV heads 0 and 1 of layer 0 cost most, and 1 and 3 of layer 1: not the contiguous blocks.
PLAN = plan_of(
    (LAYERS, QUERY_HEADS, KV_HEADS, HEAD_DIM),
    alphas=[[0, 128, 0, 0, 128, 128, 128, 128], [128, 128, 0, 0, 128, 192, 0, 128]],
    betas=[[0.7, 0, 0.7, 0.6, 0, 0, 0, 0], [0, 0, 0.7, 0.5, 0, 0, 0.7, 0]],
)


def model_of(family: str, **options):
    """A random model, its biases and sinks too."""
    model = tiny_model(family, **{**_SIZES, **_OPTIONS.get(family, {}), **options})
    random = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "sinks")):
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return model


@functools.cache
def folder_of(family: str, ranks: int) -> Path:
    """The package of a family: for one rank as it is, for more a folder of them."""
    options = ("--tp", str(ranks)) if ranks > 1 else ()
    return compiled(f"tp-{family}-for{ranks}", PLAN, config_of(family, **_SIZES), *options)


@functools.cache
def other_folder() -> Path:
    """A package for 2 ranks of the llama, of another plan, whose heads are shared out otherwise."""
    reversed_plan = {**PLAN, "alphas": PLAN["alphas"][::-1], "betas": PLAN["betas"][::-1]}
    return compiled("tp-other", reversed_plan, config_of("llama", **_SIZES), "--tp", "2")


class Exact(Reference):
    """A model in float32 under the mask that the package for one rank has."""

    def __init__(self, family: str) -> None:
        super().__init__(model_of(family), family, torch.float32)

    def bound(self, bound: int) -> None:
        package = moa_compile.load(folder_of(self.family, 1))
        learned = [[0.0] * QUERY_HEADS] * LAYERS if self.family == "gpt-oss" else None
        session = package.session(slots=1, length_bound=bound, device="cpu", sink_logits=learned)
        own = WINDOWS.get(self.family, (None, None))
        for layer in self.model.modules():
            if hasattr(layer, "layer_idx") and hasattr(layer, "o_proj"):
                number = layer.layer_idx
                sink = PLAN["sink"] if own[number] is None else 0
                layer._reference = (sink, session.windows(number))
        session.close()
