"""Projections that can be divided: those that multiply by a plain weight, and do nothing else."""

import torch
from torch import nn

from ..errors import MoaError
from .problems import problem


def plain_linear(path: str, module: nn.Module, name: str) -> nn.Linear:
    """A child that gives `x W^T + b`. Raises MOA6322 for quantized weights, adapters, classes or
    modules that have a forward of their own."""
    linear = getattr(module, name)
    if not isinstance(linear, nn.Linear):
        raise not_divided(f"{path}.{name} is {type(linear).__name__}, no linear layer")
    if type(linear).forward is not nn.Linear.forward or "forward" in vars(linear):
        kind = type(linear).__name__
        raise not_divided(
            f"{path}.{name} is {kind} with a forward of its own, no plain linear layer"
        )
    for own, tensor in (*linear.named_parameters(), *linear.named_buffers()):
        if own not in ("weight", "bias"):
            raise not_divided(f"{path}.{name} has {own}, no plain weight alone")
        # Tensors of other classes than torch's own are quantized or distributed ones.
        if type(tensor.data) is not torch.Tensor or not tensor.is_floating_point():
            kind = f"{type(tensor.data).__name__} of {tensor.dtype}"
            raise not_divided(f"{path}.{name}.{own} is {kind}, no plain weight")
    return linear


def not_divided(message: str) -> MoaError:
    """An error of a model that cannot be divided."""
    return problem("rankModel", message)
