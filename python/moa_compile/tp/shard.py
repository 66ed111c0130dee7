"""A model of which this process has one rank's part."""

from contextlib import ExitStack
from typing import Any, Final

import torch.distributed as dist
from torch import nn

from ..hf.problems import NotCopied
from .assignment import Assignment, LayerHeads
from .layers import ModelParts, Part, model_parts
from .problems import problem
from .rank_config import KV_COUNTS, QUERY_COUNTS, RankConfig
from .sums import SumOverRanks

# Where a decoder has its `Shard`; `attach` compares it with the package.
_ATTRIBUTE: Final = "_moa_shard"


class Shard(NotCopied):
    """What a decoder holds. tensor_parallel: as in `definition.json` of the rank's package. heads:
    the model's, by layer."""

    def __init__(self, assignment: Assignment, rank: int) -> None:
        self.rank, self.digest = rank, assignment.digest
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
        _keep(part, undo)
    _count_heads(found, assignment, undo)
    for module in found.sums:
        hook = module.register_forward_hook(SumOverRanks(group))
        undo.callback(hook.remove)
    shard = Shard(assignment, rank)
    setattr(decoder, _ATTRIBUTE, shard)
    undo.callback(delattr, decoder, _ATTRIBUTE)
    return shard


def _keep(part: Part, undo: ExitStack) -> None:
    """Puts a rank's part in the place of a parameter."""
    module, name, cut = part.module, part.name, part.cut
    whole = module.get_parameter(name)
    undo.callback(setattr, module, name, whole)
    if cut is None:
        setattr(module, name, None)
        return
    own = nn.Parameter(cut.of_tensor(whole.detach()), requires_grad=whole.requires_grad)
    setattr(module, name, own)
    if isinstance(module, nn.Linear) and name == "weight":
        _set(module, "in_features" if cut.dim else "out_features", cut.taken, undo)


def _count_heads(found: ModelParts, assignment: Assignment, undo: ExitStack) -> None:
    """Tells attention modules how many heads they have."""
    counts = {
        **dict.fromkeys(QUERY_COUNTS, assignment.query_heads),
        **dict.fromkeys(KV_COUNTS, assignment.kv_heads),
    }
    for module in found.attentions:
        for name, whole in counts.items():
            if module.__dict__.get(name) == whole:
                _set(module, name, whole // assignment.ranks, undo)
        heads = (assignment.query_heads, assignment.kv_heads)
        own = RankConfig(module.config, *(count // assignment.ranks for count in heads))
        _set(module, "config", own, undo)


def _set(module: nn.Module, name: str, value: object, undo: ExitStack) -> None:
    undo.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)
