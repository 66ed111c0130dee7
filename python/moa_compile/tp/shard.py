"""A model of which this process has one rank's part."""

from contextlib import ExitStack
from typing import Any, Final

import torch.distributed as dist
from torch import nn

from ..errors import MoaError
from .assignment import Assignment, LayerHeads
from .check import check_traces
from .layers import ModelParts, model_parts
from .plain import not_divided
from .problems import NotCopied, problem
from .rank_config import KV_COUNTS, QUERY_COUNTS, RankConfig
from .states import divide_states
from .sums import SumOverRanks
from .trace import Trace, trace

# Where a decoder has its `Shard`; `attach` compares it with the package.
_ATTRIBUTE: Final = "_moa_shard"


class Shard(NotCopied):
    """What a decoder holds. tensor_parallel: as in `definition.json` of the rank's package. heads:
    the model's, by layer. weights: the fingerprint of the whole model's."""

    def __init__(self, assignment: Assignment, rank: int, weights: str) -> None:
        self.rank, self.digest, self.weights = rank, assignment.digest, weights
        self.heads: tuple[LayerHeads, ...] = assignment.of_rank(rank)
        self.tensor_parallel: dict[str, Any] = {
            "rank": rank,
            "ranks": assignment.ranks,
            "kvHeads": [list(layer.kv) for layer in self.heads],
        }


def shard_of(decoder: nn.Module) -> Shard | None:
    """The part that a decoder holds; None where it is whole."""
    shard = getattr(decoder, _ATTRIBUTE, None)
    return shard if isinstance(shard, Shard) else None


def divide(
    decoder: nn.Module,
    assignment: Assignment,
    rank: int,
    group: dist.ProcessGroup | None,
    weights: str,
    undo: ExitStack,
) -> Shard:
    """Makes a decoder that of one rank. `undo` then makes it whole again; until it is dropped it
    holds the whole parameters. A decoder that holds this part already stays as it is.

    Raises MOA6322 where the model cannot be divided so, or is divided in another way.
    """
    held = shard_of(decoder)
    if held is not None:
        if (held.digest, held.rank) != (assignment.digest, rank):
            message = "the model is divided already, for another package or another rank"
            raise problem("rankModel", message, "load the model again")
        return held
    found = model_parts(decoder, assignment, rank)
    for part in found.parts:
        whole, own = part.module.get_parameter(part.name), None
        if part.cut is not None:
            value = part.cut.of_tensor(whole.detach())
            own = nn.Parameter(value, requires_grad=whole.requires_grad)
        _set(part.module, part.name, own, undo)
    return complete(decoder, found, Shard(assignment, rank, weights), group, undo)


def complete(
    decoder: nn.Module,
    found: ModelParts,
    shard: Shard,
    group: dist.ProcessGroup | None,
    undo: ExitStack,
) -> Shard:
    """Of a decoder that has a rank's parameters already: lets it compute with them.

    Raises MOA6322 where that would not be the rank's part of what the whole model computes.
    """
    whole = _traced(decoder, found, True)
    _count(found, shard.heads, undo)
    check_traces(whole, _traced(decoder, found, False))
    for module in found.sums:
        # Before all other hooks of the module, which then see the sum.
        hook = module.register_forward_hook(SumOverRanks(group), prepend=True)
        undo.callback(hook.remove)
    divide_states(found.parts, undo)
    setattr(decoder, _ATTRIBUTE, shard)
    undo.callback(delattr, decoder, _ATTRIBUTE)
    return shard


def _traced(decoder: nn.Module, found: ModelParts, is_whole: bool) -> Trace:
    try:
        return trace(decoder, found, is_whole)
    except MoaError:
        raise
    except Exception as error:
        what = "does not run" if is_whole else "does not run as one rank's part"
        message = f"{type(decoder).__name__} {what}: {type(error).__name__}: {error}"
        raise not_divided(message) from error


def _count(found: ModelParts, heads: tuple[LayerHeads, ...], undo: ExitStack) -> None:
    """Tells modules how many features and heads they have."""
    for part in found.parts:
        if part.cut is not None and isinstance(part.module, nn.Linear) and part.name == "weight":
            name = "in_features" if part.cut.dim else "out_features"
            _set(part.module, name, part.cut.taken, undo)
    for module, own in zip(found.attentions, heads, strict=True):
        for name, count in (
            *((name, len(own.query)) for name in QUERY_COUNTS),
            *((name, len(own.kv)) for name in KV_COUNTS),
        ):
            if name in vars(module):
                _set(module, name, count, undo)
        config = RankConfig(module.config, len(own.query), len(own.kv))
        _set(module, "config", config, undo)


def _set(module: nn.Module, name: str, value: object, undo: ExitStack) -> None:
    undo.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)
