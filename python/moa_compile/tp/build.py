"""Models that get memory one parameter after the other, and only for what a rank keeps."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from ..hf.attach import decoder_of
from .assignment import Assignment
from .cuts import Cut
from .layers import model_parts
from .problems import problem
from .shard import Shard, complete

# A parameter by its name and its whole shape, or the part of it that a cut says.
Read = Callable[[str, tuple[int, ...], Cut | None], torch.Tensor]


def build_whole(config: Any, read: Read, device: torch.device, dtype: torch.dtype) -> Any:
    """A causal model of transformers in evaluation."""
    model = _empty_model(config, dtype)
    _fill(model, {}, read, device, dtype)
    return model


def build_part(
    config: Any,
    read: Read,
    device: torch.device,
    dtype: torch.dtype,
    *,
    assignment: Assignment,
    rank: int,
    group: dist.ProcessGroup | None = None,
    weights: str = "",
) -> Any:
    """One rank's part of it, as `shard.divide` leaves it. weights: the fingerprint of the whole
    model's. Raises MOA6322 where it cannot be divided."""
    model = _empty_model(config, dtype)
    decoder = decoder_of(model)
    found = model_parts(decoder, assignment, rank)
    paths = {module: path for path, module in model.named_modules()}
    cuts = {f"{paths[part.module]}.{part.name}": part.cut for part in found.parts}
    _fill(model, cuts, read, device, dtype)
    complete(decoder, found, Shard(assignment, rank, weights), group, ExitStack())
    return model


def _empty_model(config: Any, dtype: torch.dtype) -> Any:
    """A model whose parameters have no memory. Buffers have values."""
    from transformers import AutoModelForCausalLM

    with _parameters_on_meta():
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def _fill(
    model: Any,
    cuts: dict[str, Cut | None],
    read: Read,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Gives an empty model its parameters, or parts of them, of one element type on one device."""
    for name, parameter in list(model.named_parameters()):
        owner, leaf = model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
        cut = cuts.get(name)
        if name in cuts and cut is None:
            setattr(owner, leaf, None)
            continue
        value = read(name, tuple(parameter.shape), cut).to(device, dtype)
        setattr(owner, leaf, nn.Parameter(value, requires_grad=parameter.requires_grad))
    model.tie_weights()
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise problem("rankCheckpoint", f"{name} shares its weight with another parameter")
    model.to(device).eval()


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """In here modules register their parameters on the meta device, before they are initialised.
    `torch.device("meta")` would take the buffers along."""
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and param.device.type != "meta":
            param = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)
        register(module, name, param)

    nn.Module.register_parameter = register_on_meta  # type: ignore
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
