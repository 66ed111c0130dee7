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
from .shard import divide

# A parameter by its name and its whole shape, or the part of it that a cut says.
Read = Callable[[str, tuple[int, ...], Cut | None], torch.Tensor]


def empty_model(config: Any, dtype: torch.dtype) -> Any:
    """A causal model of transformers whose parameters have no memory. Buffers have values."""
    from transformers import AutoModelForCausalLM

    with _parameters_on_meta():
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def divide_empty(
    model: Any, assignment: Assignment, rank: int, group: dist.ProcessGroup | None
) -> dict[str, Cut]:
    """Divides an empty model, and says which parameters are parts. For `fill`.
    Raises MOA6322 where it cannot be divided; the model is of no use then."""
    decoder = decoder_of(model)
    paths = {module: path for path, module in model.named_modules()}
    cuts = {
        f"{paths[part.module]}.{part.name}": part.cut
        for part in model_parts(decoder, assignment, rank).parts
        if part.cut is not None
    }
    divide(decoder, assignment, rank, group, ExitStack())
    return cuts


def fill(
    model: Any, cuts: dict[str, Cut], read: Read, device: torch.device, dtype: torch.dtype
) -> None:
    """Gives an empty model its parameters, of one element type on one device."""
    for name, parameter in list(model.named_parameters()):
        shape, cut = list(parameter.shape), cuts.get(name)
        if cut is not None:
            shape[cut.dim] = cut.size
        value = read(name, tuple(shape), cut).to(device, dtype)
        owner, leaf = model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
        setattr(owner, leaf, nn.Parameter(value, requires_grad=parameter.requires_grad))
    model.tie_weights()
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
