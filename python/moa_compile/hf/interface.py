"""The attention of attached models, as transformers knows it: a name, an attention function and a
mask function.

Both functions are registered once for all models. The attention function finds its layer in the
module that calls it (`_moa_layer`, which `attach` sets).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

from .problems import problem

NAME: Final = "moa_compile"

# What a probe is told of a layer: its module, q, k, v, and all other arguments.
Note = Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]], None]


class _Probe(threading.local):
    note: Note | None = None


_probe = _Probe()


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Appends keys and values to the cache of a layer and attends, in one call.

    query `[batch, query heads, columns, head dim]`; key, value `[batch, KV heads, columns, head
    dim]`, the new ones alone. Returns `[batch, columns, query heads, head dim]`, zeros for padding.
    The mask is not read: the forward has read it (`forward.py`). Raises MOA6309 where the model is
    not attached.
    """
    if _probe.note is not None:
        _probe.note(module, query, key, value, arguments)
        return torch.zeros_like(query).transpose(1, 2).contiguous(), None
    layer = getattr(module, "_moa_layer", None)
    if layer is None:
        message = f"{type(module).__name__} has the attention {NAME!r} and no package"
        raise problem("notAttached", message)
    out: torch.Tensor = layer.attend(query, key, value, arguments)
    return out, None


def mask(attention_mask: torch.Tensor | None = None, **_: Any) -> torch.Tensor | None:
    """The mask of padding `[batch, columns]` as it came, or None. Never a larger one."""
    return attention_mask


def register() -> None:
    """Makes `NAME` an attention of transformers. Without a mask function padding would be lost."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)


@contextmanager
def probing(note: Note) -> Iterator[None]:
    """In here layers of this thread are noted, and give zeros."""
    _probe.note = note
    try:
        yield
    finally:
        _probe.note = None


def is_probing() -> bool:
    """Whether layers of this thread are being noted."""
    return _probe.note is not None
