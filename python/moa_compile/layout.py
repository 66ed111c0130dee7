"""Where everything of a session lies: classes of layers, rings and page tables, before anything is
allocated."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .definition import Definition, Layer, layer_numbers
from .errors import MoaError
from .expressions import Expression, ceil_divide, evaluate
from .words import ranges


@dataclass(frozen=True)
class RingWindows:
    """Equal rings at a length bound. In tokens: the window that they keep behind the sink, and the
    longest that a query head attends."""

    kv_heads: tuple[int, ...]
    sink: int
    window: int
    longest: int


class LayerClass:
    """Layers of a session with equal rules, which have tables in common.

    `index`: in the session. `slot_pages`: entries of the page table for one slot; `offsets`: where
    each KV head's begin.
    """

    def __init__(
        self, definition: Definition, plan_class: int, layer: Layer, index: int, length_bound: int
    ) -> None:
        self.index, self.plan_class, self.sink = index, plan_class, layer["sink"]
        self._definition, self._layer = definition, layer
        self.offsets = [0] * definition["shape"]["kvHeads"]
        self.slot_pages = 0
        for ring in layer["rings"]:
            pages = evaluate(definition["expressions"][ring["pages"]], {"N": length_bound})
            for head in ring["kvHeads"]:
                self.offsets[head] = self.slot_pages
                self.slot_pages += pages
        self.rings = lru_cache(maxsize=4096)(self._rings)

    def _rings(self, bound: int) -> tuple[RingWindows, ...]:
        """Its rings, for sequences of at most `bound` tokens."""
        expressions = self._definition["expressions"]
        return tuple(
            RingWindows(
                tuple(ring["kvHeads"]),
                self.sink,
                evaluate(expressions[ring["span"]], {"N": bound}) - self.sink,
                max(self._window(rule, bound) for rule in ring["rules"]),
            )
            for ring in self._layer["rings"]
        )

    def windows(self, bound: int) -> list[int]:
        """The window in tokens of each query head."""
        return [self._window(rule, bound) for rule in self._layer["heads"]]

    def _window(self, rule: int, bound: int) -> int:
        whole: Expression = {
            "kind": "span",
            "rule": self._definition["rules"][rule],
            "limits": self._definition["limits"],
        }
        span, model_window = evaluate(whole, {"N": bound}), self._layer["modelWindow"]
        return (span if model_window is None else min(span, model_window)) - self.sink


@dataclass(frozen=True)
class LayerLayout:
    """`layer`: its number in the model; `plan_layer`: in the plan; `index`: in the session."""

    layer: int
    plan_layer: int
    index: int
    layer_class: LayerClass
    first_entry: int


@dataclass(frozen=True)
class SessionLayout:
    """`entries` of the page table: pages of sequences of `length_bound` tokens in all slots."""

    layers: tuple[LayerLayout, ...]
    classes: tuple[LayerClass, ...]
    entries: int


def plan_layers(definition: Definition, layers: Sequence[int] | None) -> list[int]:
    """The layers of a session by their numbers in the plan, rising. Raises MOA6106 for one without
    attention."""
    numbers = layer_numbers(definition)
    if layers is None:
        return list(range(len(numbers)))
    for index, layer in enumerate(layers):
        if layer not in numbers:
            message = (
                f"layers[{index}] is {layer}; the layers of the model that have attention are "
                f"{ranges(numbers)}"
            )
            raise MoaError(
                "badOptions",
                message,
                "a session serves layers of the plan, by their numbers in the model",
            )
    return [numbers.index(layer) for layer in layers]


def layout_session(
    definition: Definition, slots: int, length_bound: int, layers: Sequence[int] | None
) -> SessionLayout:
    """Classes, and where page tables lie."""
    numbers = layer_numbers(definition)
    class_of: list[int] = definition["tables"]["layerClass"]
    classes: dict[int, LayerClass] = {}
    placed: list[LayerLayout] = []
    entries = 0
    for index, plan_layer in enumerate(plan_layers(definition, layers)):
        number = class_of[plan_layer]
        if number not in classes:
            layer = definition["layers"][plan_layer]
            classes[number] = LayerClass(definition, number, layer, len(classes), length_bound)
        placed.append(LayerLayout(numbers[plan_layer], plan_layer, index, classes[number], entries))
        entries += slots * classes[number].slot_pages
    return SessionLayout(tuple(placed), tuple(classes.values()), entries)


def ring_pages_in_use(length: int, window: int, sink: int, page_tokens: int) -> int:
    """Pages of one ring that hold a token when its sequence has `length` tokens; none of a free
    slot, of length -1."""
    if length <= sink:
        return ceil_divide(max(0, length), page_tokens)
    return ceil_divide(sink, page_tokens) + ceil_divide(min(length - sink, window), page_tokens)
