"""The inputs of o_proj and down_proj, if all divided projections return random numbers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from .cuts import Cut
from .layers import ModelParts, Part

_TOKENS: Final = 3
# Numbers of other ranks are so much larger than a rank's own, so that a statistic over all numbers
# differs from one over a rank's.
_FOREIGN: Final = 8.0


@dataclass(frozen=True)
class Trace:
    """inputs: of each projection behind which ranks add up, by path, a rank's columns call by call.
    output: of the decoder."""

    inputs: dict[str, list[torch.Tensor]]
    output: torch.Tensor


def trace(decoder: nn.Module, found: ModelParts, is_whole: bool) -> Trace:
    """Runs a decoder on a few tokens, as the whole model or as a rank's part: its modules count the
    heads and features of one or the other. Divided weights are not used, and may be either's.

    Projections divided by rows return random numbers, the same in both runs; a part returns
    a rank's share. Projections whose outputs ranks add up record their inputs, and return random
    numbers too, so that sums are equal in both runs and no other rank is needed. Divided weights
    are NaN during the run, which shows if anything else reads them.
    """
    stand_ins = _StandIns(is_whole)
    with ExitStack() as undo, torch.no_grad():
        undo.enter_context(_in_evaluation(decoder))
        undo.enter_context(_with_eager_attention(decoder))
        for part in found.parts:
            stand_ins.put_into(part, undo)
        tokens = torch.arange(_TOKENS, device=next(decoder.parameters()).device)
        output = decoder(input_ids=tokens[None], use_cache=False)[0]
    return Trace(stand_ins.inputs, output)


class _StandIns:
    """What stands in for divided parameters and projections in one run."""

    def __init__(self, is_whole: bool) -> None:
        self.inputs: dict[str, list[torch.Tensor]] = {}
        self._is_whole = is_whole
        self._random = torch.Generator().manual_seed(0)

    def put_into(self, part: Part, undo: ExitStack) -> None:
        module, cut = part.module, part.cut
        if cut is None:
            return
        parameter = module.get_parameter(part.name)
        if not isinstance(module, nn.Linear):
            numbers = self._numbers(cut, cut.dim, parameter.shape, parameter)
            _replace(module, part.name, numbers, undo)
            return
        shape = cut.shape(parameter.shape, self._is_whole)
        _replace(module, part.name, _nan(shape, parameter), undo)
        if part.name != "weight":
            return
        forward = self._rows(module, cut)
        if cut.dim == 1:
            forward = self._columns(part.path, module, cut)
            if module.bias is not None:
                _replace(module, "bias", _nan(module.bias.shape, module.bias), undo)
        vars(module)["forward"] = forward
        undo.callback(vars(module).pop, "forward")

    def _rows(self, linear: nn.Linear, cut: Cut) -> Callable[[torch.Tensor], torch.Tensor]:
        """The forward of a projection that is divided by rows."""

        def forward(input: torch.Tensor) -> torch.Tensor:
            return self._numbers(cut, input.dim() - 1, input.shape, linear.weight)

        return forward

    def _columns(
        self, path: str, linear: nn.Linear, cut: Cut
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """The forward of a projection behind which ranks add up."""
        width, inputs = cut.size if self._is_whole else cut.taken, self.inputs.setdefault(path, [])

        def forward(input: torch.Tensor) -> torch.Tensor:
            if input.shape[-1] != width:
                raise ValueError(f"{path} was given {input.shape[-1]} columns, and has {width}")
            last = input.dim() - 1
            inputs.append((cut.along(last, input) if self._is_whole else input).float().clone())
            return self._random_like((*input.shape[:-1], linear.weight.shape[0]), linear.weight)

        return forward

    def _numbers(
        self, cut: Cut, dim: int, shape: Sequence[int], like: torch.Tensor
    ) -> torch.Tensor:
        """Random numbers for a tensor that `cut` divides along `dim`, or a rank's part of them.
        shape: of it, with anything at `dim`."""
        whole = self._random_like((*shape[:dim], cut.size, *shape[dim + 1 :]), like)
        if not self._is_whole:
            return cut.along(dim, whole)
        factors = torch.full((cut.size,), _FOREIGN)
        for begin, end in cut.ranges:
            factors[begin:end] = 1
        return whole * factors.to(like).view(-1, *[1] * (whole.dim() - dim - 1))

    def _random_like(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Of mean 1, so that a mean over other numbers is another one."""
        return torch.randn(*shape, generator=self._random).add_(1).to(like)


def _nan(shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """A tensor without memory of its own."""
    return torch.full((), torch.nan, dtype=like.dtype, device=like.device).expand(*shape)


def _replace(module: nn.Module, name: str, value: torch.Tensor, undo: ExitStack) -> None:
    undo.callback(setattr, module, name, module.get_parameter(name))
    setattr(module, name, nn.Parameter(value, requires_grad=False))


@contextmanager
def _in_evaluation(decoder: nn.Module) -> Iterator[None]:
    """In here dropout does nothing."""
    modes = [(module, module.training) for module in decoder.modules()]
    decoder.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _with_eager_attention(decoder: Any) -> Iterator[None]:
    """In here attention is PyTorch's, which every model has on every device."""
    config = decoder.config
    inner = {key: getattr(config, key, None) for key in getattr(config, "sub_configs", {})}
    before = {key: each._attn_implementation for key, each in inner.items() if each is not None}
    before[""] = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before
