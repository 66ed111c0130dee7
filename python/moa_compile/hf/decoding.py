"""Decode steps of an attached model: which forwards are plain steps of one new token a row, and
run over static memory (`decode_graph.py`)."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from ..session import Session
from .cache import MoaCache
from .decode_graph import DecodeGraph
from .forward import Forwards
from .model_state import ModelState
from .problems import NotCopied
from .rows import CacheRows
from .static_forward import ModelForward
from .step_graph import MakeGraph, make_step_graph

_CACHES: Final = ("cache", "past_key_values")
# Arguments that a plain step may have, and which of their values mean nothing.
_READ: Final = ("input_ids", "attention_mask", "position_ids", "cache_position", *_CACHES)
_FALSE: Final = ("output_attentions", "output_hidden_states", "output_router_logits")
_TRUE: Final = ("use_cache", "return_dict")
# Of the model's instance, while it is attached.
_METHODS: Final = ("forward", "_update_model_kwargs_for_generation")


@dataclass(frozen=True)
class PlainStep:
    """A forward that may be one: ids `[rows, 1]`, positions `[1 or rows, 1]`."""

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor | None
    begins: object
    cache: MoaCache


class Decoding(NotCopied):
    """The forward of one attached model.

    make: makes graphs of steps.
    """

    def __init__(self, model: Any, decoder: Any, forwards: Forwards, static: ModelForward) -> None:
        self.make: MakeGraph = make_step_graph
        self._model, self._decoder, self._forwards = model, decoder, forwards
        self._before: dict[str, Any] = {
            name: vars(model)[name] for name in _METHODS if name in vars(model)
        }
        self._static, self._original = static, static.call
        # By the session and rows.
        self._graphs: dict[Session, dict[int, DecodeGraph]] = {}
        self._state: ModelState | None = None
        self._is_attached = True
        self._own: object = None
        self._never = not self._static.can_be_static
        forwards.pool.on_close = self._forget

    def put_into(self, model: Any) -> None:
        """Gives the model's instance its forward, and lets masks be followed in generation."""
        original = model.forward
        self._own = model.forward = functools.update_wrapper(
            functools.partial(self._forward), original
        )
        updated = model._update_model_kwargs_for_generation
        if _is_known(updated):
            model._update_model_kwargs_for_generation = functools.partial(self._update, updated)

    def remove(self) -> None:
        """Takes them back. Under a forward that others have wrapped around ours, it only passes
        calls on."""
        self._is_attached = False
        self._graphs.clear()
        self._state = None
        inside = vars(self._model)
        for name in _METHODS:
            own = inside.get(name)
            if own is None or (name == "forward" and own is not self._own):
                continue
            del inside[name]
            if name in self._before:
                inside[name] = self._before[name]

    @property
    def graphs(self) -> int:
        """Steps that are kept."""
        return sum(map(len, self._graphs.values()))

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        output = None
        if self._is_attached and not self._never and not torch.compiler.is_compiling():
            step = self._plain(args, kwargs)
            if step is not None and self._is_ready(step.cache.content):
                output = self._run(step)
        return self._original(*args, **kwargs) if output is None else output

    def _plain(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> PlainStep | None:
        """A forward of one new column that asks for logits alone."""
        if torch.is_grad_enabled() or self._decoder.training:
            return None
        given = dict(zip(self._static.names, args, strict=False)) | dict(kwargs)
        ids, positions = given.get("input_ids"), given.get("position_ids")
        mask, keep = given.get("attention_mask"), given.get("logits_to_keep", 0)
        cache = next((given[name] for name in _CACHES if given.get(name) is not None), None)
        if not isinstance(ids, torch.Tensor) or not isinstance(positions, torch.Tensor):
            return None
        # Of one column, all logits are the last.
        if not isinstance(cache, MoaCache) or type(keep) is not int or keep not in (0, 1):
            return None
        if ids.dim() != 2 or ids.shape[1] != 1 or positions.dim() != 2:
            return None
        if tuple(positions.shape) not in ((1, 1), tuple(ids.shape)):
            return None
        if mask is not None and not (isinstance(mask, torch.Tensor) and mask.dim() == 2):
            return None
        for name, value in given.items():
            means_nothing = value is None or name in _READ or name == "logits_to_keep"
            if not means_nothing and value is not (name in _TRUE):
                return None
        configs = (self._decoder.config, self._model.config)
        if any(getattr(config, name, False) for config in configs for name in _FALSE):
            return None
        if given.get("return_dict") is None and not getattr(configs[1], "return_dict", True):
            return None
        device = next(self._decoder.parameters()).device
        if ids.device != device or positions.device != device:
            return None
        if torch.is_autocast_enabled(device.type):
            return None
        return PlainStep(ids, positions, mask, given.get("cache_position"), cache)

    def _is_ready(self, rows: CacheRows) -> bool:
        """Whether a step of the cache may run over static memory: the model is as it was."""
        if rows.pool is not self._forwards.pool or rows.session is None:
            return False
        if self._state is None or rows.looked_at is not self._state:
            if self._state is None or not self._state.is_same():
                self._graphs.clear()
                self._state = ModelState(self._model, self._decoder)
            rows.looked_at = self._state
        return self._state.obstacle is None and self._state.is_plain()

    def _run(self, step: PlainStep) -> Any:
        """The step; None where rows are not known to bring one token each."""
        rows = step.cache.content
        slots = rows.begin_decode(step.ids.shape[0], step.mask, step.begins)
        session = rows.session
        if slots is None or session is None:
            return None
        try:
            graph = self._graph(session, len(slots))
            output = graph.run(step.ids, step.positions, rows.columns, slots, step.cache)
        except BaseException:
            rows.close("a forward through it failed")
            raise
        rows.end()
        if not graph.is_static:
            self._never = True
            self._graphs.clear()
        return output

    def _graph(self, session: Session, rows: int) -> DecodeGraph:
        graphs = self._graphs.setdefault(session, {})
        if rows not in graphs:
            graphs[rows] = DecodeGraph(self._static, session, rows, self.make)
        return graphs[rows]

    def _forget(self, session: Session) -> None:
        """A session is closed."""
        self._graphs.pop(session, None)

    def _update(
        self,
        updated: Callable[..., dict[str, Any]],
        outputs: Any,
        model_kwargs: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What `generate` does after each forward: among others, it puts a column of ones behind
        the mask."""
        before = model_kwargs.get("attention_mask")
        result = updated(outputs, model_kwargs, *args, **kwargs)
        cache = next((result[name] for name in _CACHES if result.get(name) is not None), None)
        if isinstance(cache, MoaCache) and kwargs.get("num_new_tokens", 1) == 1 and len(args) < 2:
            begins = result.get("cache_position")
            cache.content.masks.follow(before, result.get("attention_mask"), begins)
        return result


def _is_known(update: Callable[..., Any]) -> bool:
    """Whether it is the method of transformers, of which we know what it does to masks."""
    from transformers import GenerationMixin

    own = GenerationMixin._update_model_kwargs_for_generation
    return getattr(update, "__func__", None) is own
