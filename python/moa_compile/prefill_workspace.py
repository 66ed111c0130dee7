"""Memory that prefills need: it grows with the largest of them, and they use it one after the
other."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from .buffers import BufferSizes
from .definition import Definition, Kernel, field_offset
from .device import Buffer, Device
from .expressions import ceil_divide
from .layout import LayerClass


@dataclass(frozen=True)
class PrefillNeeds:
    """What a prefill needs, at most. `items`: work items of a layer; `splits`: items that are one
    of two KV splits; `goes_on`: whether a sequence holds tokens already."""

    items: int
    splits: int
    goes_on: bool


def prefill_needs(
    definition: Definition,
    kernel: Kernel,
    multiprocessors: int,
    sequences: Iterable[tuple[int, int]],
) -> PrefillNeeds:
    """The needs of sequences, each with its new tokens and those in the cache."""
    schedule, heads = definition["prefill"], definition["shape"]["queryHeads"]
    splits_items = _splits_items(definition, kernel)
    most = _most_pairs(definition, kernel, multiprocessors)
    page_tokens = definition["layout"]["pageTokens"]
    items = splits = 0
    goes_on = False
    for added, cached in sequences:
        if added <= 0:
            continue
        own = heads * ceil_divide(added, kernel["rows"])
        is_long = _most_key_pages(added, cached, page_tokens) > schedule["splitPages"]
        pairs = min(own, most) if splits_items and is_long else 0
        items += own + pairs
        splits += 2 * pairs
        goes_on = goes_on or cached > 0
    return PrefillNeeds(items, splits, goes_on)


def budget_needs(
    definition: Definition,
    kernel: Kernel,
    multiprocessors: int,
    budget: int,
    fewest: int,
    slots: int,
) -> PrefillNeeds:
    """The most that any sequences need which bring `budget` tokens together, of those that bring
    `fewest` or more."""
    sequences = min(slots, budget // fewest)
    # Each sequence may have one block of rows that is not full.
    blocks = (budget - sequences) // kernel["rows"] + sequences
    own = 0 if sequences == 0 else definition["shape"]["queryHeads"] * blocks
    most = _most_pairs(definition, kernel, multiprocessors)
    pairs = min(own, sequences * most) if _splits_items(definition, kernel) else 0
    return PrefillNeeds(own + pairs, 2 * pairs, True)


def _most_key_pages(added: int, cached: int, page_tokens: int) -> int:
    """Pages that rows of a sequence visit, at most. Cached tokens lie in pages of the sink and
    of the window: the first, the last one and, where a ring ends within a page, one more of these
    are partly theirs."""
    own = ceil_divide(added, page_tokens)
    return own + ceil_divide(cached, page_tokens) + 3 if cached > 0 else own


def _splits_items(definition: Definition, kernel: Kernel) -> bool:
    return kernel["partialFloats"] > 0 and definition["prefill"]["byCost"]


def _most_pairs(definition: Definition, kernel: Kernel, multiprocessors: int) -> int:
    """Items that are a large part of a block's share of their sequence: no more than fit it."""
    numerator, denominator = definition["prefill"]["splitShare"]
    return kernel["blocksPerSm"] * multiprocessors * denominator // numerator


class PrefillWorkspace:
    """Work lists of `capacity` items for each class of layers, and partial results."""

    def __init__(
        self, device: Device, definition: Definition, classes: tuple[LayerClass, ...], slots: int
    ) -> None:
        self._device, self._definition, self._classes, self._slots = (
            device,
            definition,
            classes,
            slots,
        )
        self._buffers: dict[str, Buffer] = {}
        self.capacity = 0

    def free(self) -> None:
        """Frees all memory."""
        self._buffers.clear()
        self.capacity = 0

    def for_items(self, needs: PrefillNeeds) -> dict[str, int]:
        """Parameters of `planPrefill` for lists of so many items."""
        before = self.capacity
        # In steps, so that longer and longer prompts seldom need more.
        self.capacity = max(before, _power_of_two(needs.items))
        sizes = self._sizes()
        try:
            found = self._each_at_least(("items", "sizes", "scratch"), sizes)
        except BaseException:
            # A shorter prompt may have room.
            self.capacity = before
            raise
        return {**found, "scratchBytes": sizes.values["scratchBytes"], "capacity": self.capacity}

    def items_of(self, layer_class: LayerClass) -> dict[str, int]:
        """Where the items of a class lie, and their number."""
        structs = self._definition["structs"]
        size = structs["PrefillPlanSize"]
        items = (
            self._buffers["items"].address
            + layer_class.index * self.capacity * structs["PrefillItem"]["bytes"]
        )
        count = (
            self._buffers["sizes"].address
            + layer_class.index * size["bytes"]
            + field_offset(size, "count")
        )
        return {"items": items, "itemCount": count}

    def splits(self, splits: int, kernel: Kernel) -> dict[str, int]:
        """Addresses for partial results of so many items that are one of two, and counters; 0 for
        none."""
        if splits == 0:
            return {"partials": 0, "partTickets": 0}
        floats, threads = kernel["partialFloats"], kernel["threads"]
        sizes = self._sizes(parts=_power_of_two(splits), partialFloats=floats, threads=threads)
        return self._each_at_least(("partials", "partTickets"), sizes)

    def pages(self) -> tuple[int, int]:
        """A page of 16-bit elements for each entry of a layer's page table, and the table in which
        entry n is page n."""
        sizes = self._sizes(slotPages=max(each.slot_pages for each in self._classes))
        return self._at_least("expandedPool", sizes), self._at_least("expandedTable", sizes)

    def _sizes(self, **variables: int) -> BufferSizes:
        shape = {"slots": self._slots, "classes": len(self._classes), "items": self.capacity}
        return BufferSizes(self._definition, "prefill", {**shape, **variables})

    def _each_at_least(self, names: Iterable[str], sizes: BufferSizes) -> dict[str, int]:
        """Addresses of buffers by name."""
        found = {}
        # No comprehension: an error would keep its closure, and `self` in it, alive.
        for name in names:
            found[name] = self._at_least(name, sizes)
        return found

    def _at_least(self, name: str, sizes: BufferSizes) -> int:
        """The address of a buffer, which is made anew when it is too small."""
        kept = self._buffers.get(name)
        if kept is None or kept.bytes < sizes.bytes_of(name):
            made = sizes.make(self._device, name)
            if kept is not None and kept.tensor.is_cuda:
                # Launches on this stream may still read it.
                kept.tensor.record_stream(torch.cuda.current_stream(kept.tensor.device))
            kept = self._buffers[name] = made
        return kept.address


def _power_of_two(number: int) -> int:
    """The least that is not smaller."""
    return 1 << (number - 1).bit_length() if number > 0 else 0
