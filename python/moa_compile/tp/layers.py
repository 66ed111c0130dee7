"""What a rank keeps of each parameter of a model, and where ranks add up.

Of attention the heads that `tensor-parallel.json` gives it: rows of q, k and v, columns of o. Of an
MLP that stands in the decoder layer itself a contiguous share: rows of gate and up, columns of
down. All else is whole on every rank: norms, embeddings and lm_head (so that each rank has all
logits and samples without asking the others), and experts with their routers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from torch import nn

from ..errors import MoaError
from .assignment import Assignment, LayerHeads
from .cuts import Cut, cut_evenly, cut_heads, stack
from .problems import problem

# Of attention modules; each is optional, but for o_proj and either q, k and v or all in one.
_PROJECTIONS: Final = ("q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj")
# One weight for all heads.
_SHARED: Final = {"q_norm.weight", "k_norm.weight"}


@dataclass(frozen=True)
class Part:
    """What a rank keeps of the parameter `name` of `module`; `cut` is None where it keeps nothing:
    a bias behind a sum, which rank 0 adds for all."""

    module: nn.Module
    name: str
    cut: Cut | None


@dataclass(frozen=True)
class ModelParts:
    """parts: parameters that are not whole. sums: modules whose outputs ranks add up. attentions:
    attention modules by layer."""

    parts: tuple[Part, ...]
    sums: tuple[nn.Linear, ...]
    attentions: tuple[nn.Module, ...]


def model_parts(decoder: nn.Module, assignment: Assignment, rank: int) -> ModelParts:
    """What rank `rank` keeps of a decoder. Changes nothing.

    Raises MOA6322 where the model is not of the package's shape, or sizes do not divide.
    """
    attentions = _attentions(decoder)
    if sorted(attentions) != list(range(len(assignment.layers))):
        message = (
            f"{type(decoder).__name__} has {len(attentions)} layers with q_proj (or qkv_proj) and "
            f"o_proj, the package {len(assignment.layers)}"
        )
        raise problem("rankModel", message)
    parts: list[Part] = []
    sums: list[nn.Linear] = []
    ordered = [attentions[number] for number in range(len(assignment.layers))]
    for (path, attention), heads in zip(ordered, assignment.of_rank(rank), strict=True):
        parts += _attention_parts(path, attention, assignment, heads)
        sums.append(_linear(path, attention, "o_proj"))
        layer = decoder.get_submodule(path.rpartition(".")[0])
        for name, mlp in layer.named_children():
            if mlp is not attention and _is_mlp(mlp):
                parts += _mlp_parts(f"{path.rpartition('.')[0]}.{name}", mlp, assignment, rank)
                sums.append(_linear(name, mlp, "down_proj"))
    if rank > 0:
        parts += [Part(each, "bias", None) for each in sums if each.bias is not None]
    return ModelParts(tuple(parts), tuple(sums), tuple(module for _, module in ordered))


def _attentions(decoder: nn.Module) -> dict[int, tuple[str, nn.Module]]:
    """Path and module by number of layer."""
    return {
        module.layer_idx: (path, module)
        for path, module in decoder.named_modules()
        if isinstance(getattr(module, "layer_idx", None), int)
        and hasattr(module, "o_proj")
        and (hasattr(module, "q_proj") or hasattr(module, "qkv_proj"))
    }


def _attention_parts(
    path: str, attention: nn.Module, assignment: Assignment, heads: LayerHeads
) -> Iterator[Part]:
    whole_q, whole_kv, head_dim = assignment.query_heads, assignment.kv_heads, assignment.head_dim
    q = cut_heads(0, heads.query, whole_q, head_dim)
    kv = cut_heads(0, heads.kv, whole_kv, head_dim)
    cuts = {"q_proj": q, "k_proj": kv, "v_proj": kv, "qkv_proj": stack((q, kv, kv))}
    for name in _PROJECTIONS[:-1]:
        if hasattr(attention, name):
            linear = _linear(path, attention, name)
            yield from _row_parts(f"{path}.{name}", linear, cuts[name])
    columns = cut_heads(1, heads.query, whole_q, head_dim)
    o_proj = _linear(path, attention, "o_proj")
    yield _part(f"{path}.o_proj.weight", o_proj, "weight", columns)
    for name, parameter in attention.named_parameters():
        if name == "sinks":
            sinks = cut_heads(0, heads.query, whole_q, 1)
            yield _part(f"{path}.sinks", attention, "sinks", sinks)
        elif name in _SHARED and tuple(parameter.shape) == (head_dim,):
            continue
        elif name.rpartition(".")[0] not in _PROJECTIONS:
            raise _not_divided(f"{path}.{name} {list(parameter.shape)} cannot be divided by heads")


def _is_mlp(module: nn.Module) -> bool:
    """Whether a module is an MLP of gate, up and down alone. Others stay whole."""
    names = {name.partition(".")[0] for name, _ in module.named_parameters()}
    return names in ({"gate_proj", "up_proj", "down_proj"}, {"gate_up_proj", "down_proj"})


def _mlp_parts(path: str, mlp: nn.Module, assignment: Assignment, rank: int) -> Iterator[Part]:
    down = _linear(path, mlp, "down_proj")
    size, ranks = down.in_features, assignment.ranks
    if size % ranks != 0:
        raise _not_divided(
            f"{path} has {size} intermediate features, which {ranks} ranks cannot share evenly"
        )
    rows = cut_evenly(0, size, rank, ranks)
    cuts = {"gate_proj": rows, "up_proj": rows, "gate_up_proj": stack((rows, rows))}
    for name, cut in cuts.items():
        if hasattr(mlp, name):
            yield from _row_parts(f"{path}.{name}", _linear(path, mlp, name), cut)
    yield _part(f"{path}.down_proj.weight", down, "weight", cut_evenly(1, size, rank, ranks))


def _row_parts(path: str, linear: nn.Linear, cut: Cut) -> Iterator[Part]:
    yield _part(f"{path}.weight", linear, "weight", cut)
    if linear.bias is not None:
        yield _part(f"{path}.bias", linear, "bias", cut)


def _part(path: str, module: nn.Module, name: str, cut: Cut) -> Part:
    shape = module.get_parameter(name).shape
    if cut.dim >= len(shape) or shape[cut.dim] != cut.size:
        where = "columns" if cut.dim else "rows"
        raise _not_divided(f"{path} is {list(shape)}; the package needs {cut.size} {where}")
    return Part(module, name, cut)


def _linear(path: str, module: nn.Module, name: str) -> nn.Linear:
    """A child that is a plain linear layer."""
    linear = getattr(module, name)
    own = [each for each, _ in linear.named_parameters()] + [b for b, _ in linear.named_buffers()]
    plain = isinstance(linear, nn.Linear) and set(own) <= {"weight", "bias"}
    if not plain or not linear.weight.is_floating_point():
        raise _not_divided(f"{path}.{name} is {type(linear).__name__}, no plain linear layer")
    assert isinstance(linear, nn.Linear)
    return linear


def _not_divided(message: str) -> MoaError:
    return problem("rankModel", message)
