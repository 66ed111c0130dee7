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

from .assignment import Assignment, LayerHeads
from .cuts import Cut, cut_evenly, cut_heads, stack
from .plain import not_divided, plain_linear
from .problems import problem

# Of attention modules; each is optional, but for o_proj and either q, k and v or all in one.
_PROJECTIONS: Final = ("q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj")


@dataclass(frozen=True)
class Part:
    """What a rank keeps of the parameter `name` of `module`; `cut` is None where it keeps nothing:
    a bias behind a sum, which rank 0 adds for all. path: of the module."""

    path: str
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
    """What rank `rank` keeps of a whole decoder. Changes nothing.

    Raises MOA6322 where the model is not of the package's shape, or its weights are not plain ones.
    """
    attentions = _attentions(decoder)
    if sorted(attentions) != list(range(len(assignment.layers))):
        message = (
            f"{type(decoder).__name__} has {len(attentions)} layers with q_proj (or qkv_proj) and "
            f"o_proj, the package {len(assignment.layers)}"
        )
        raise problem("rankModel", message)
    parts: list[Part] = []
    for number, heads in enumerate(assignment.of_rank(rank)):
        path, attention = attentions[number]
        parts += _attention_parts(path, attention, assignment, heads)
        layer = path.rpartition(".")[0]
        for name, mlp in decoder.get_submodule(layer).named_children():
            if mlp is not attention and _is_mlp(mlp):
                parts += _mlp_parts(f"{layer}.{name}", mlp, rank, assignment.ranks)
    _check_once(parts)
    sums = [part for part in parts if part.cut is not None and part.cut.dim == 1]
    linears = tuple(part.module for part in sums if isinstance(part.module, nn.Linear))
    if rank > 0:
        parts += [Part(e.path, e.module, "bias", None) for e in sums if e.module.bias is not None]
    modules = tuple(attentions[number][1] for number in sorted(attentions))
    return ModelParts(tuple(parts), linears, modules)


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
    yield from _linear_parts(
        *(path, attention),
        {"q_proj": q, "k_proj": kv, "v_proj": kv, "qkv_proj": stack((q, kv, kv))},
        ("o_proj", cut_heads(1, heads.query, whole_q, head_dim)),
    )
    # Besides projections: logits of sinks, and norms with a weight for each head or one for all.
    each_q, each_kv = cut_heads(0, heads.query, whole_q, 1), cut_heads(0, heads.kv, whole_kv, 1)
    by_head = {
        "sinks": (each_q, (whole_q,)),
        "q_norm.weight": (each_q, (whole_q, head_dim)),
        "k_norm.weight": (each_kv, (whole_kv, head_dim)),
    }
    for name, parameter in attention.named_parameters():
        owner, _, leaf = name.rpartition(".")
        shape = tuple(parameter.shape)
        cut, divided = by_head.get(name, (q, ()))
        if owner in _PROJECTIONS:
            continue
        if shape == (head_dim,) and shape != divided:
            # One weight for all heads stays whole. `check` finds out if it is something else.
            continue
        if shape != divided:
            raise not_divided(f"{path}.{name} {list(shape)} cannot be divided by heads")
        yield Part(f"{path}.{owner}".rstrip("."), attention.get_submodule(owner), leaf, cut)


def _is_mlp(module: nn.Module) -> bool:
    """Whether a module is an MLP of gate, up and down alone. Others stay whole."""
    names = {name.partition(".")[0] for name, _ in module.named_parameters()}
    return names in ({"gate_proj", "up_proj", "down_proj"}, {"gate_up_proj", "down_proj"})


def _mlp_parts(path: str, mlp: nn.Module, rank: int, ranks: int) -> Iterator[Part]:
    size = plain_linear(path, mlp, "down_proj").in_features
    if size < ranks:
        raise not_divided(f"{path} has {size} intermediate features for {ranks} ranks")
    rows = cut_evenly(0, size, rank, ranks)
    yield from _linear_parts(
        *(path, mlp),
        {"gate_proj": rows, "up_proj": rows, "gate_up_proj": stack((rows, rows))},
        ("down_proj", cut_evenly(1, size, rank, ranks)),
    )


def _linear_parts(
    path: str, module: nn.Module, rows: dict[str, Cut], columns: tuple[str, Cut]
) -> Iterator[Part]:
    """Of projections that are divided by rows, those that the module has, and of the one behind
    them, which is divided by columns."""
    for name, cut in (*rows.items(), columns):
        if not hasattr(module, name):
            continue
        linear, where = plain_linear(path, module, name), "columns" if cut.dim else "rows"
        if linear.weight.shape[cut.dim] != cut.size:
            shape = list(linear.weight.shape)
            message = f"{path}.{name}.weight is {shape}; the package needs {cut.size} {where}"
            raise not_divided(message)
        yield Part(f"{path}.{name}", linear, "weight", cut)
        if linear.bias is not None and cut.dim == 0:
            yield Part(f"{path}.{name}", linear, "bias", cut)


def _check_once(parts: list[Part]) -> None:
    """A module that stands in two places would be divided twice."""
    places: dict[tuple[nn.Module, str], str] = {}
    for part in parts:
        other = places.setdefault((part.module, part.name), part.path)
        if other != part.path:
            raise not_divided(f"{part.path} is the same module as {other}")
