"""Llamas (and a Phi-3) with something between the divided projections that is not separate for each
head, or each feature; and some that only look so."""

import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers.models.gemma3n.configuration_gemma3n import Gemma3nTextConfig
from transformers.models.gemma3n.modeling_gemma3n import Gemma3nTextMLP

from ..hf.models import HEAD_DIM
from .models import KV_HEADS, QUERY_HEADS, model_of

SIZE = 64


class Mlp(nn.Module):
    """SwiGLU, with `between` before down_proj."""

    def __init__(self, between=lambda x: x) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(64, SIZE, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(SIZE, 64, bias=False)
        self.between = between

    def forward(self, x):
        return self.down_proj(self.between(functional.silu(self.gate_proj(x)) * self.up_proj(x)))


class FusedMlp(nn.Module):
    """gate and up in one weight; `halves` takes them apart."""

    def __init__(self, halves) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(64, 2 * SIZE, bias=False)
        self.down_proj = nn.Linear(SIZE, 64, bias=False)
        self.halves = halves

    def forward(self, x):
        gate, up = self.halves(self.gate_up_proj(x))
        return self.down_proj(functional.silu(gate) * up)


class Splits(Mlp):
    """Counts its features by itself."""

    def forward(self, x):
        gate, up = self.gate_proj(x), self.up_proj(x)
        return self.down_proj((functional.silu(gate) * up).view(*x.shape[:-1], SIZE))


class ReadsWeight(Mlp):
    def forward(self, x):
        features = functional.silu(self.gate_proj(x)) * self.up_proj(x)
        return functional.linear(features, self.down_proj.weight)


class NormsWeight(Mlp):
    """As weight normalisation does: by all rows of a weight."""

    def forward(self, x):
        return super().forward(x) / self.gate_proj.weight.norm()


class BitLinear(nn.Linear):
    """Weights of 1.58 bits: by their mean over all rows."""

    def forward(self, x):
        scale = self.weight.abs().mean()
        return functional.linear(x, (self.weight / scale).round().clamp(-1, 1) * scale, self.bias)


def quantized(x):
    """To int8, by the largest feature of a token."""
    scale = x.abs().amax(-1, keepdim=True) / 127
    return (x / scale).round() * scale


def best(x):
    """The largest eighth of all features."""
    least = x.topk(x.shape[-1] // 8, -1).values[..., -1:]
    return x.where(x >= least, 0)


def rms(x):
    return x * x.float().square().mean(-1, keepdim=True).rsqrt().to(x.dtype)


def normed(self, x):
    """Another forward for a `LlamaMLP`."""
    return self.down_proj(rms(self.act_fn(self.gate_proj(x)) * self.up_proj(x)))


def with_mlp(make, layer: int = 1):
    """A Llama with another MLP in one layer."""
    model = model_of("llama", mlp_bias=False)
    torch.manual_seed(0)
    model.model.layers[layer].mlp = make().to(torch.bfloat16)
    return model.eval().requires_grad_(False)


def gemma3n_mlp(sparsity: float):
    config = Gemma3nTextConfig(
        hidden_size=64,
        intermediate_size=SIZE,
        num_hidden_layers=1,
        activation_sparsity_pattern=[sparsity],
        num_kv_shared_layers=0,
        layer_types=["full_attention"],
    )
    return Gemma3nTextMLP(config)


def with_input_hook(name: str, change):
    """A Llama with something before a projection of attention."""
    model = model_of("llama")
    projection = getattr(model.model.layers[0].self_attn, name)
    projection.register_forward_pre_hook(lambda module, args: (change(args[0]),))
    return model


def with_output_hook(name: str, change, family: str = "llama"):
    """With something behind it."""
    model = model_of(family)
    projection = getattr(model.model.layers[0].self_attn, name)
    projection.register_forward_hook(lambda module, args, out: change(out))
    return model


def by_groups(x):
    """q, k and v from rows that stand KV head by KV head, with 2 query heads each."""
    heads = x.unflatten(-1, (-1, 4, HEAD_DIM))
    return torch.cat(
        [heads[..., at, :].flatten(-3) for at in (slice(0, 2), slice(2, 3), slice(3, 4))], -1
    )


def leaking():
    """A Llama with a layer that scales its output by a mean over its query heads."""
    found = []
    model = with_output_hook("q_proj", lambda out: found.append(out.mean(-1, True)) or out)
    model.model.layers[0].register_forward_hook(lambda module, args, out: out * found.pop())
    return model


def other(kind, **options):
    """Of a family that tests of attached models do not have. Norms have random weights."""
    torch.manual_seed(0)
    sizes = dict.fromkeys(("vocab_size", "hidden_size", "intermediate_size", "head_dim"), 64)
    heads = {"num_attention_heads": QUERY_HEADS, "num_key_value_heads": KV_HEADS}
    config = kind(num_hidden_layers=2, pad_token_id=0, **sizes, **heads, **options)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter)
    return model.to(torch.bfloat16).eval().requires_grad_(False)
