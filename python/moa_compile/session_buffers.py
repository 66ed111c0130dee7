"""A session's memory on the device: the pool, tables that the device keeps, and workspace of its
plans."""

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .buffers import BufferSizes, int32_bytes
from .definition import Definition, Kernel, Struct
from .device import Buffer, Device, FoundKernel
from .errors import MoaError
from .layout import LayerLayout, SessionLayout
from .placed_counts import PlacedCounts
from .rope import read_rope
from .session_options import SessionOptions

# Finds the kernel of a role for a layer of the plan; None where the package has none.
FindKernel = Callable[[str, int, bool, bool], FoundKernel | None]

# Of the session's set, what only some sessions have: made where it is needed.
_SPECIAL = ("rope", "kvScales", "sinkLogits", "tokenEnds", "counts", "pool")


@dataclass(frozen=True, eq=False)
class LayerState:
    """A layer's kernels, and where its tables lie on the device. `addresses`: by names of
    parameters."""

    layout: LayerLayout
    addresses: dict[str, int]
    append: FoundKernel
    append_rotated: FoundKernel
    decode: FoundKernel | None
    decode_many: FoundKernel | None
    prefill: FoundKernel
    expand: FoundKernel | None
    prefill_kernel: Kernel

    @property
    def index(self) -> int:
        """Its number among the session's layers."""
        return self.layout.index


@dataclass(frozen=True)
class DecodePlan:
    """Workspace of a plan of decode: of decode that appends its token, or of tokens that are in the
    rings."""

    sizes: BufferSizes
    buffers: dict[str, Buffer]

    @property
    def addresses(self) -> dict[str, int]:
        return {name: buffer.address for name, buffer in self.buffers.items()}


class SessionBuffers:
    """`buffers`: of the session's set, by name. `plans`: of decode. `table_bytes` of all but pool
    and workspace."""

    def __init__(
        self,
        device: Device,
        definition: Definition,
        layout: SessionLayout,
        options: SessionOptions,
        find: FindKernel,
    ) -> None:
        self._device, self._definition = device, definition
        self._allocated = 0
        self.rope_tables: list[Buffer] = []
        self._fixed_counts: dict[tuple[int, ...], PlacedCounts] = {}
        self._counts: PlacedCounts | None = None
        pages = layout.entries if options.pages is None else options.pages
        sinks = list(dict.fromkeys(each.sink for each in layout.classes))
        shape = {
            "slots": options.slots,
            "layers": len(layout.layers),
            "classes": len(layout.classes),
        }
        self._plan_variables = {**shape, "multiprocessors": device.multiprocessors}
        self.sizes = BufferSizes(
            definition,
            "session",
            {
                **self._plan_variables,
                "sinkCount": len(sinks),
                "entries": layout.entries,
                "pages": pages,
                "decodeTokens": options.decode_tokens,
            },
        )
        classes = layout.classes
        known = {
            "ringPlaces": int32_bytes(
                n for each in classes for n in (*each.offsets, each.slot_pages)
            ),
            "pagedLayers": _paged_layers(definition["structs"]["PagedLayer"], layout.layers),
            "planClasses": int32_bytes(each.plan_class for each in classes),
            "classSinks": int32_bytes(each.sink for each in classes),
            "sinks": int32_bytes(sinks),
        }
        names = [
            name for name in definition["buffers"]["session"]["buffers"] if name not in _SPECIAL
        ]
        self.buffers = {name: self._make(name, known.get(name)) for name in names}
        self._make_special(layout, options)
        self.layers = self._layers(layout, options, find)
        self.plans = {"one": self._plan([s.decode for s in self.layers.values()], 1)}
        self.plans["many"] = self._plan(
            [s.decode_many for s in self.layers.values()], options.decode_tokens
        )
        made = [plan for plan in self.plans.values() if plan is not None]
        # Other launches have a counter also without decode.
        self.tickets = device.allocate(max([4, *(plan.sizes.bytes_of("tickets") for plan in made)]))
        device.fill(self.tickets, 0)
        self.table_bytes = (
            self._allocated
            + self.tickets.bytes
            + sum(buffer.bytes for plan in made for buffer in plan.buffers.values())
        )
        self.partials = device.allocate(
            max([0, *(plan.sizes.bytes_of("partials") for plan in made)])
        )
        # Launches copy whole pages, and mask the rows that hold no token: what lies there does not
        # matter.
        self.pool = self.buffers["pool"] = self.sizes.make(device, "pool")

    def free(self) -> None:
        """Frees all memory, even where other code still holds this object, which cannot be used
        afterwards."""
        self.buffers.clear()
        self.rope_tables.clear()
        self.plans.clear()
        self._fixed_counts.clear()
        self._counts = None
        del self.tickets, self.partials, self.pool

    @property
    def addresses(self) -> dict[str, int]:
        """Of all buffers, by names of parameters."""
        own = {
            "tickets": self.tickets.address,
            "ticket": self.tickets.address,
            "partials": self.partials.address,
        }
        return {**{name: buffer.address for name, buffer in self.buffers.items()}, **own}

    def token_ends(self, tokens: int) -> int:
        """The address of `cuSeqlens` for so many tokens of each sequence."""
        return self.buffers["tokenEnds"].address + (tokens - 1) * self.sizes.stride("tokenEnds")

    def place_counts(self, counts: Sequence[int]) -> PlacedCounts:
        """A count for each sequence, on the device from `write` until the next one."""
        if self._counts is None:
            self._counts = PlacedCounts(self._device, self.sizes.make(self._device, "counts"))
        self._counts.set(counts)
        return self._counts

    def fix_counts(self, counts: Sequence[int]) -> PlacedCounts:
        """A count for each slot in memory that a graph keeps reading, and `write` fills."""
        key = tuple(counts)
        if key not in self._fixed_counts:
            self._fixed_counts[key] = PlacedCounts(
                self._device, self.sizes.make(self._device, "counts")
            )
            self._fixed_counts[key].set(counts)
        return self._fixed_counts[key]

    def _make(self, name: str, content: bytes | None = None) -> Buffer:
        buffer = self.sizes.make(self._device, name, content)
        self._allocated += buffer.bytes
        return buffer

    def _make_special(self, layout: SessionLayout, options: SessionOptions) -> None:
        plan_layers = [layer.plan_layer for layer in layout.layers]
        if self._definition["layout"]["cacheType"] == "e4m3":
            heads = self._definition["shape"]["kvHeads"]
            ones = [[1.0] * heads for _ in self._definition["layers"]]
            keys, values = options.cache_scales or (ones, ones)
            table = [scale for layer in plan_layers for scale in (*keys[layer], *values[layer])]
            self.buffers["kvScales"] = self._make("kvScales", _float_bytes(table))
        if options.sink_logits is not None:
            logits = [logit for layer in plan_layers for logit in options.sink_logits[layer]]
            self.buffers["sinkLogits"] = self._make("sinkLogits", _float_bytes(logits))

    def _layers(
        self, layout: SessionLayout, options: SessionOptions, find: FindKernel
    ) -> dict[int, LayerState]:
        plan_layers = [layer.plan_layer for layer in layout.layers]
        rope = read_rope(options.rope, self._definition, plan_layers, options.length_bound)
        for table in rope.tables:
            sizes = self.sizes.having(
                rotaryPairs=table.pairs, ropeBlock=1 << table.shift, ropeBlocks=table.blocks
            )
            values = ctypes.string_at(table.values.data_ptr(), table.values.nbytes)
            self.rope_tables.append(sizes.make(self._device, "rope", values))
            self._allocated += self.rope_tables[-1].bytes
        self.rope_shift = rope.tables[0].shift if rope.tables else 0
        states = {}
        for layer in layout.layers:
            rotation = rope.layers[layer.plan_layer]
            address = 0 if rotation is None else self.rope_tables[rotation].address
            states[layer.layer] = self._state(layer, rotation is not None, address, options, find)
        if any(state.decode_many is not None for state in states.values()):
            ends = [
                t * slot
                for t in range(1, options.decode_tokens + 1)
                for slot in range(options.slots + 1)
            ]
            self.buffers["tokenEnds"] = self._make("tokenEnds", int32_bytes(ends))
        return states

    def _state(
        self,
        layer: LayerLayout,
        rotates: bool,
        rope: int,
        options: SessionOptions,
        find: FindKernel,
    ) -> LayerState:
        number = layer.plan_layer

        def need(role: str, rope: bool, many: bool = False) -> FoundKernel:
            found = find(role, number, rope, many)
            if found is None:
                raise _missing_kernel()
            return found

        # Where several tiles of query heads share a KV head, no kernel appends a token itself.
        decode = find("decode", number, rotates, False)
        if decode is None and find("decode", number, False, False) is not None:
            raise _missing_kernel()
        has_many = options.decode_tokens > 1 or decode is None
        prefill = need("prefill", False)
        prefill_kernel = next(
            k for k in self._definition["kernels"] if k["name"] == prefill.definition["name"]
        )
        of_class, of_layer = layer.layer_class.index, layer.index
        addresses = {"rope": rope, "ropeShift": self.rope_shift, "sink": layer.layer_class.sink}
        for name, index in (
            ("windows", of_class),
            ("rings", of_class),
            ("lengths", of_layer),
            ("pageTable", layer.first_entry),
            ("kvScales", of_layer),
            ("sinkLogits", of_layer),
        ):
            buffer = self.buffers.get(name)
            addresses[name] = (
                0 if buffer is None else buffer.address + index * self.sizes.stride(name)
            )
        is_e4m3 = self._definition["layout"]["cacheType"] == "e4m3"
        return LayerState(
            layer,
            addresses,
            need("append", rotates),
            need("append", False),
            decode,
            need("decode", False, True) if has_many else None,
            prefill,
            need("expand", False) if is_e4m3 else None,
            prefill_kernel,
        )

    def _plan(self, kernels: Sequence[FoundKernel | None], tokens: int) -> DecodePlan | None:
        names = {found.definition["name"] for found in kernels if found is not None}
        shared = [kernel for kernel in self._definition["kernels"] if kernel["name"] in names]
        if not shared:
            return None
        most = {
            name: max(kernel[name] for kernel in shared)
            for name in ("blocksPerSm", "partialFloats")
        }
        variables = {**self._plan_variables, "decodeTokens": tokens, **most}
        sizes, device = BufferSizes(self._definition, "decode", variables), self._device
        # Without `self` in a closure, which an error would keep alive.
        buffers = {name: sizes.make(device, name) for name in ("segments", "scratch", "known")}
        return DecodePlan(sizes, buffers)


def _missing_kernel() -> MoaError:
    """MOA6202"""
    return MoaError(
        "packageKernel",
        "the package has no kernel for these options",
        "a session with rope needs a package compiled with RoPE (the default), and an element "
        "type of the package",
    )


def _float_bytes(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _paged_layers(described: Struct, layers: Sequence[LayerLayout]) -> bytes:
    """`[layers]`: where a layer's part of the page table begins, its class and its sink."""
    data = bytearray(described["bytes"] * len(layers))
    formats = {"int32": "<i", "int64": "<q"}
    for index, layer in enumerate(layers):
        values = {
            "firstEntry": layer.first_entry,
            "classIndex": layer.layer_class.index,
            "sink": layer.layer_class.sink,
        }
        for field in described["fields"]:
            at = index * described["bytes"] + field["offset"]
            struct.pack_into(formats[field["type"]], data, at, values[field["name"]])
    return bytes(data)
