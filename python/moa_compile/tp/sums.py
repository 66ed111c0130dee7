"""The sum over ranks behind the output projections of attention and MLP."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from ..hf.interface import is_probing
from ..hf.problems import problem as model_problem
from .problems import NotCopied
from .ranks import no_answer


class SumOverRanks(NotCopied):
    """A forward hook: adds up a module's outputs `[..., hidden]` of all ranks, in place.

    NCCL and gloo give all ranks the same bits, so ranks go on with equal hidden states. The sum
    is in the output's element type, as engines do it: one rounding more a rank. Within
    `torch.cuda.graph` NCCL's launch becomes part of the graph.
    """

    def __init__(self, group: dist.ProcessGroup | None) -> None:
        self._group = group

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], output: torch.Tensor
    ) -> torch.Tensor:
        """Raises MOA6303 where gradients are wanted: the sum has no backward pass; MOA6323 where
        another rank ended, or does not come before the group's timeout."""
        if is_probing():
            # A rank whose attach fails before it asks its layers would leave others waiting.
            return output
        if output.requires_grad:
            message = "gradients are wanted, and the sum over ranks has no backward pass"
            help = "run the model within torch.no_grad() or torch.inference_mode()"
            raise model_problem("modelState", message, help)
        try:
            dist.all_reduce(output, group=self._group)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise no_answer(error) from error
        return output
