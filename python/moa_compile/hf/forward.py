"""A forward of an attached model: what comes before its decoder runs, in each layer, and after it.

The decoder (`model.model` of most models) has two hooks. The first reads the arguments and begins a
step of the cache; attention functions find the step by the thread; the second ends it, also when
the forward failed: then the cache is closed, since some layers may have the new tokens and others
not."""

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from .cache import MoaCache
from .call import ForwardCall, read_call
from .facts import LayerFacts, rule_of
from .problems import NotCopied, problem
from .rows import CacheRows
from .sessions import SessionPool

# transformers calls it `cache` since 5.24, and takes the other name too.
_CACHE_NAMES = ("cache", "past_key_values")
_FAILED = "a forward through it failed"


class Attends(Protocol):
    """A step under way, as layers find it. layers: how many have attended."""

    layers: int

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Shapes as of `interface.attention`."""


class _Current(threading.local):
    """rows: of a step that the hooks began; None where `attending` did."""

    step: Attends | None = None
    rows: CacheRows | None = None
    is_temporary = False


class Forwards(NotCopied):
    """Forwards of one attached model.

    length_bound: of caches that a forward makes; None: its own tokens.
    cache_name: of the decoder's parameter for caches. layers: how many attend.
    """

    def __init__(
        self,
        decoder: nn.Module,
        layers: Sequence[LayerFacts],
        pool: SessionPool,
        length_bound: int | None,
    ) -> None:
        self.pool, self.length_bound, self.decoder = pool, length_bound, decoder
        self._names = list(inspect.signature(decoder.forward).parameters)
        self.cache_name = "cache" if "cache" in self._names else "past_key_values"
        self._current = _Current()
        self.layers = len(layers)
        self._modules = [facts.module for facts in layers]
        for number, facts in enumerate(layers):
            facts.module._moa_layer = AttachedLayer(self, number, facts)  # type: ignore[assignment]
        self._hooks = (
            decoder.register_forward_pre_hook(self._before, with_kwargs=True),
            decoder.register_forward_hook(self._after, with_kwargs=True, always_call=True),
        )

    def remove(self) -> None:
        """Takes hooks and layers out of the model."""
        for hook in self._hooks:
            hook.remove()
        for module in self._modules:
            del module._moa_layer
        self._modules.clear()

    def check_attached(self) -> None:
        """Raises MOA6309 where the model was detached."""
        if not self._modules:
            raise problem("notAttached", "the model was detached")

    def new_cache(self, length_bound: int, most: int | None = None, copies: int = 1) -> MoaCache:
        """A cache of this model. `most`, `copies`: as of `CacheRows`."""
        return MoaCache(CacheRows(self.pool, length_bound, most, copies), self.layers)

    def check_cache(self, cache: object) -> MoaCache:
        """Raises MOA6304 for a cache of another kind, or of another model."""
        if not isinstance(cache, MoaCache):
            raise problem("badCache", f"the model was given a {type(cache).__name__}")
        if cache.content.pool is not self.pool:
            raise problem("badCache", "the cache is another model's, or of an earlier attach")
        return cache

    @contextmanager
    def attending(self, step: Attends) -> Iterator[None]:
        """Forwards of this thread are of a step that somebody else begins and ends."""
        current = self._current
        before = current.step, current.rows
        current.step, current.rows = step, None
        try:
            yield
        finally:
            current.step, current.rows = before

    def step(self, number: int) -> Attends:
        """The step under way in this thread. Raises MOA6309 where there is none."""
        step = self._current.step
        if step is None:
            message = f"the attention of layer {number} was called outside of the model's forward"
            raise problem("notAttached", message)
        return step

    def _before(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        current = self._current
        if current.step is not None and current.rows is None:
            return args, kwargs
        if current.rows is not None:
            # torch calls no hooks after a KeyboardInterrupt: what that left is closed here.
            current.rows.close(_FAILED)
            current.step = current.rows = None
        call = read_call(decoder, self._names, args, kwargs)
        rows, injected = self._rows_of(call)
        current.step = rows.begin(call)
        current.rows, current.is_temporary = rows, call.cache is None and injected is None
        return (args, kwargs) if injected is None else self._with_cache(args, kwargs, injected)

    def _with_cache(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], cache: MoaCache
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of a call that has no cache, or None by any name, with this one."""
        index = self._names.index(self.cache_name)
        if len(args) > index:
            return (*args[:index], cache, *args[index + 1 :]), kwargs
        others = {name: value for name, value in kwargs.items() if name not in _CACHE_NAMES}
        return args, {**others, self.cache_name: cache}

    def _rows_of(self, call: ForwardCall) -> tuple[CacheRows, MoaCache | None]:
        """The rows of a forward, and the cache to give the model where it would make one."""
        if call.cache is not None:
            return self.check_cache(call.cache).content, None
        bound = self.length_bound or max(1, call.columns)
        if call.use_cache:
            cache = self.new_cache(bound)
            return cache.content, cache
        return CacheRows(self.pool, bound), None

    def _after(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        current = self._current
        step, rows = current.step, current.rows
        if step is None or rows is None:
            return
        temporary = current.is_temporary
        current.step = current.rows = None
        if step.layers == self.layers:
            rows.end()
            if temporary:
                rows.close()
            return
        rows.close(_FAILED)
        if output is not None:
            message = f"the forward went through {step.layers} of the {self.layers} layers"
            raise problem("unsupportedModel", message)


class AttachedLayer(NotCopied):
    """One attention layer of a model, as `interface.attention` finds it."""

    def __init__(self, forwards: Forwards, number: int, facts: LayerFacts) -> None:
        self._forwards, self._number = forwards, number
        self._rule = (facts.scale, facts.soft_cap, facts.window, facts.sinks is not None)
        self._head_dim = facts.head_dim

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        arguments: dict[str, Any],
    ) -> torch.Tensor:
        """Shapes as of `interface.attention`. Raises MOA6301 where the layer attends in another
        way than when the model was attached."""
        step = self._forwards.step(self._number)
        rule = rule_of(arguments, self._head_dim)
        if rule != self._rule:
            message = (
                f"layer {self._number} attends in another way than when the model was attached: "
                f"{rule} is not {self._rule} (scale, soft cap, window, learned sinks)"
            )
            raise problem("modelPackage", message, "detach the model and attach it again")
        return step.attend(self._number, query, key, value)
