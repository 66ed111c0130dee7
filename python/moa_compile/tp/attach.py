"""`attach_tensor_parallel`: a model of transformers runs on a package for several ranks."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ..hf.attach import attach, attachment_of, decoder_of, detach
from ..hf.problems import problem as model_problem
from ..package import DeviceOption
from ..session_options import Table
from .assignment import Assignment, LayerHeads, read_assignment
from .fingerprint import model_fingerprint
from .problems import problem
from .ranks import Ranks
from .shard import Shard, divide, shard_of


def attach_tensor_parallel(
    model: Any,
    directory: str | os.PathLike[str],
    *,
    group: dist.ProcessGroup | None = None,
    length_bound: int | None = None,
    device: DeviceOption = None,
    cache_scales: tuple[Table, Table] | None = None,
) -> None:
    """Lets each rank of a process group compute its heads of a model with the kernels of its
    package. Every rank calls it alike, and then the model: inputs, and seeds of sampling, are the
    same on all ranks, and so is what comes out.

    model: whole, with the same weights on all ranks, or divided already for this package
    (`shard_model`, `load_sharded`). What a rank does not keep is freed, so `detach` leaves a dense
    model over ranks. directory: the package of `moa-compile --tp N`. group: N processes; all by
    default. cache_scales: as of `Package.session`, for all KV heads of the model. length_bound,
    device: as of `attach`.

    Raises MOA6320 without a process group, or one of another size; MOA6321 where the package is not
    for several ranks; MOA6322 where the model cannot be divided; what `attach` raises; and MOA6323
    where another rank raised one of these. The model is then as before, on all ranks.
    """
    options = {"call": "attach_tensor_parallel", "length bound": length_bound}
    with _divided(model, directory, group, options) as (assignment, shard, undo):
        attach(
            model,
            assignment.package(shard.rank),
            length_bound=length_bound,
            device=device,
            cache_scales=_own_scales(cache_scales, assignment, shard.heads),
        )
        undo.callback(detach, model)


def shard_model(
    model: Any, directory: str | os.PathLike[str], *, group: dist.ProcessGroup | None = None
) -> None:
    """Leaves of a model what this rank computes, and adds up over ranks where it must; attention is
    not changed. For a model that is too large for one GPU: on the CPU, and then `model.to(device)`
    and `attach_tensor_parallel`.

    Raises MOA6320 to MOA6323 as `attach_tensor_parallel`.
    """
    with _divided(model, directory, group, {"call": "shard_model"}):
        pass


@contextmanager
def _divided(
    model: Any,
    directory: str | os.PathLike[str],
    group: dist.ProcessGroup | None,
    options: Mapping[str, object],
) -> Iterator[tuple[Assignment, Shard, ExitStack]]:
    """A block of a model that is divided, which becomes whole again if the block fails on any rank.
    options: which all ranks must have in common. The stack undoes what the block does."""
    ranks = Ranks(group, _device_of(model))
    with ExitStack() as undo:
        with ranks.agreeing() as agreement:
            if attachment_of(model) is not None:
                raise model_problem("attached", "the model is attached already")
            assignment = read_assignment(Path(directory).resolve())
            ranks.check(assignment)
            decoder = _decoder_of(model)
            held = shard_of(decoder)
            weights = model_fingerprint(model) if held is None else held.weights
            agreement.said |= {**options, "package": assignment.digest, "model": weights}
            shard = divide(decoder, assignment, ranks.rank, group, weights, undo)
            yield assignment, shard, undo
        undo.pop_all()


def _device_of(model: Any) -> torch.device:
    parameters = model.parameters() if hasattr(model, "parameters") else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device


def _decoder_of(model: Any) -> torch.nn.Module:
    if not hasattr(model, "base_model"):
        raise problem("rankModel", f"{type(model).__name__} is no model of transformers")
    return decoder_of(model)


def _own_scales(
    scales: tuple[Table, Table] | None, assignment: Assignment, heads: tuple[LayerHeads, ...]
) -> tuple[Table, Table] | None:
    """The scales of the KV heads of a rank, `[layer][KV head]` as before."""
    if scales is None:
        return None
    keys, values = (_own_table(table, assignment, heads) for table in scales)
    return keys, values


def _own_table(
    table: Table, assignment: Assignment, heads: tuple[LayerHeads, ...]
) -> list[list[float]]:
    rows = table.tolist() if isinstance(table, torch.Tensor) else [list(row) for row in table]
    if len(rows) != len(heads) or any(len(row) != assignment.kv_heads for row in rows):
        shape = f"[{len(heads)}][{assignment.kv_heads}]"
        help = "pass the scales of the whole model; each rank takes its own"
        raise problem("rankModel", f"cache_scales are not {shape}, layers and KV heads", help)
    return [[row[head] for head in layer.kv] for row, layer in zip(rows, heads, strict=True)]
