"""What a forward of the decoder was called with, as far as attention is concerned. What a package
cannot do is refused here, before anything is launched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from ..words import describe
from .problems import problem

_PACKED: Final = ("cu_seq_lens_q", "cu_seq_lens_k", "cu_seqlens", "max_length_q", "max_length_k")


@dataclass(frozen=True)
class ForwardCall:
    """One forward of a decoder.

    rows, columns: the batch and its new columns, padding included. tokens: `[rows, columns]` or
    `[rows, columns, hidden]`: what tells rows apart. mask: `[rows, columns of the cache and new
    ones]`, as it came. positions: `[1 or rows, columns]`; begins: `[columns]`, where transformers
    4 believes them in the cache.
    """

    rows: int
    columns: int
    tokens: torch.Tensor
    mask: torch.Tensor | None
    positions: torch.Tensor | None
    begins: torch.Tensor | None
    use_cache: bool
    cache: object


def read_call(
    decoder: nn.Module, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> ForwardCall:
    """Reads the arguments of a forward; `names`: of its parameters, in order.

    Raises MOA6303 (training), MOA6305 (masks), MOA6306 (packed sequences), MOA6307 (attentions).
    """
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    config: Any = decoder.config
    _check_state(decoder, given)
    if _option(given, config, "output_attentions"):
        raise problem("noAttentions", "the kernels of a package make no attention weights to give")
    ids, embeds = given.get("input_ids"), given.get("inputs_embeds")
    tokens = embeds if ids is None else ids
    if not isinstance(tokens, torch.Tensor) or tokens.dim() != (2 if embeds is None else 3):
        shape = list(tokens.shape) if isinstance(tokens, torch.Tensor) else describe(tokens)
        raise problem("badMask", f"the model was called with {shape}; [batch, columns] is needed")
    packed = next((name for name in _PACKED if given.get(name) is not None), None)
    if packed is not None:
        raise problem("badPositions", f"{packed} says that rows hold several sequences")
    cache = given.get("cache")
    return ForwardCall(
        rows=tokens.shape[0],
        columns=tokens.shape[1],
        tokens=tokens,
        mask=_mask_of(given.get("attention_mask")),
        positions=_positions_of(given.get("position_ids"), tokens),
        begins=given.get("cache_position"),
        use_cache=bool(_option(given, config, "use_cache")),
        cache=given.get("past_key_values") if cache is None else cache,
    )


def _option(given: Mapping[str, Any], config: Any, name: str) -> Any:
    value = given.get(name)
    return getattr(config, name, None) if value is None else value


def _check_state(decoder: nn.Module, given: Mapping[str, Any]) -> None:
    if decoder.training:
        raise problem("modelState", "the model is in training, and kernels have no backward pass")
    if not torch.is_grad_enabled():
        return
    embeds = given.get("inputs_embeds")
    wanted = isinstance(embeds, torch.Tensor) and embeds.requires_grad
    if wanted or any(parameter.requires_grad for parameter in decoder.parameters()):
        raise problem("modelState", "gradients are wanted, and kernels have no backward pass")


def _mask_of(mask: object) -> torch.Tensor | None:
    if mask is None:
        return None
    if not isinstance(mask, torch.Tensor):
        kinds = f": one for {', '.join(map(str, mask))}" if isinstance(mask, Mapping) else ""
        raise problem("badMask", f"attention_mask is {type(mask).__name__}{kinds}, no [batch, n]")
    if mask.dim() != 2:
        raise problem(
            "badMask",
            f"attention_mask is {list(mask.shape)}: a mask of one's own; the package has the mask "
            f"of its plan, and takes padding alone",
        )
    return mask


def _positions_of(positions: object, tokens: torch.Tensor) -> torch.Tensor | None:
    if positions is None:
        return None
    good = isinstance(positions, torch.Tensor) and positions.dim() in (1, 2)
    if not isinstance(positions, torch.Tensor) or not good:
        raise problem("badPositions", "position_ids are not [batch, columns]")
    positions = positions.reshape(-1, positions.shape[-1])
    if positions.shape[1] != tokens.shape[1] or positions.shape[0] not in (1, tokens.shape[0]):
        raise problem(
            "badPositions",
            f"position_ids are {list(positions.shape)} for {list(tokens.shape[:2])} new columns",
        )
    return positions
