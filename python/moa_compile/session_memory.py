"""Bytes of a session on the device, by layer and head group."""

from collections.abc import Sequence
from dataclasses import dataclass

from .buffers import BufferSizes
from .definition import Definition, Ring, layer_numbers
from .expressions import evaluate
from .layout import layout_session, plan_layers


@dataclass(frozen=True)
class GroupMemory:
    """Equal rings of a layer. `span`: tokens of one. `bytes`: of the cache, over all slots."""

    kv_heads: tuple[int, ...]
    span: int
    bytes: int


@dataclass(frozen=True)
class LayerMemory:
    """`layer`: its number in the model."""

    layer: int
    bytes: int
    groups: tuple[GroupMemory, ...]


@dataclass(frozen=True)
class SessionMemory:
    """Bytes on the device.

    cache: the pool. tables: page tables, rings, plans, lengths. workspace: partial results of rings
    that are cut in pieces.
    expanded: not in `total`: of a cache of 8 bits, what the first chunk of a prompt allocates
    besides.
    dense: what a dense cache of the same model would take. layers: what all slots take of the pool
    when they are full.
    """

    total: int
    cache: int
    tables: int
    workspace: int
    expanded: int
    dense: int
    layers: tuple[LayerMemory, ...]


def session_memory(
    definition: Definition,
    slots: int,
    length_bound: int,
    pages: int | None,
    layers: Sequence[int] | None,
    tables: int = 0,
    workspace: int = 0,
) -> SessionMemory:
    """What a session takes; known without a device but for tables and workspace."""
    numbers = layer_numbers(definition)
    page_bytes, page_tokens = definition["layout"]["pageBytes"], definition["layout"]["pageTokens"]

    def group(ring: Ring) -> GroupMemory:
        span, count = (
            evaluate(definition["expressions"][ring[key]], {"N": length_bound})
            for key in ("span", "pages")
        )
        return GroupMemory(
            tuple(ring["kvHeads"]), span, count * len(ring["kvHeads"]) * slots * page_bytes
        )

    of_layers = []
    for layer in plan_layers(definition, layers):
        groups = tuple(group(ring) for ring in definition["layers"][layer]["rings"])
        of_layers.append(LayerMemory(numbers[layer], sum(each.bytes for each in groups), groups))
    cache = sum(each.bytes for each in of_layers) if pages is None else pages * page_bytes
    expanded = 0
    if definition["layout"]["cacheType"] == "e4m3":
        classes = layout_session(definition, slots, length_bound, layers).classes
        slot_pages = max((each.slot_pages for each in classes), default=0)
        sizes = BufferSizes(
            definition, "prefill", {"slots": slots, "items": 0, "slotPages": slot_pages}
        )
        expanded = sizes.bytes_of("expandedPool") + sizes.bytes_of("expandedTable")
    dense = (
        len(of_layers)
        * definition["shape"]["kvHeads"]
        * slots
        * length_bound
        * (page_bytes // page_tokens)
    )
    return SessionMemory(
        cache + tables + workspace, cache, tables, workspace, expanded, dense, tuple(of_layers)
    )
