"""Forwards of a model in which layers do nothing but attend: how caches of attached models are
filled, and how calls of attention are timed, without the rest of the model.

The decoder runs as always, with its hooks, so that caches see an ordinary forward; only what is
between them is replaced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .hugging_face import cache_argument

# Number of a layer, and its attention module.
AttendLayer = Callable[[int, nn.Module], None]


def attention_function(model: Any) -> Callable[..., Any]:
    """That the model's layers call."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    found: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS[model.config._attn_implementation]
    return found


def run_attention(model: Any, ids: torch.Tensor, cache: object, attend: AttendLayer) -> None:
    """A forward of the tokens `ids` behind a cache, of which every layer is `attend`."""
    decoder = model.get_decoder()

    def forward(*_: object, **__: object) -> None:
        for number, layer in enumerate(decoder.layers):
            attend(number, layer.self_attn)

    with _replaced(decoder, forward), torch.no_grad():
        decoder(input_ids=ids, use_cache=True, **{cache_argument(model): cache})


@contextmanager
def _replaced(decoder: Any, forward: Callable[..., None]) -> Iterator[None]:
    decoder.forward = forward
    try:
        yield
    finally:
        # The class's own is found again.
        del decoder.forward


@contextmanager
def wrapped_attention(model: Any, wrap: Callable[[Callable[..., Any]], Any]) -> Iterator[None]:
    """In here the model's attention function is `wrap(it)`."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = model.config._attn_implementation
    ALL_ATTENTION_FUNCTIONS[name] = wrap(attention_function(model))
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS[name]
