"""A compiled package on disk, and the sessions that run it."""

import os
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from .cuda import cuda_device
from .definition import Definition, ElementType, Kernel, Planner, read_definition
from .device import Device, FoundKernel, KernelSource
from .emulator import Emulator
from .errors import MoaError
from .rope import RopeOption
from .session import Session
from .session_memory import SessionMemory, session_memory
from .session_options import (
    TORCH_TYPES,
    SessionOptions,
    Table,
    bad_options,
    check_cache_scales,
    check_decode_tokens,
    check_integer,
    check_layers,
    check_scale,
    check_sink_logits,
)
from .words import describe

# A torch device, or an emulator with options of its own. CPU devices are the emulator.
DeviceOption = str | torch.device | Emulator | None

_emulator: Emulator | None = None


def load(directory: str | os.PathLike[str]) -> "Package":
    """Reads a package from any folder, which may be read-only.

    Raises MOA6201 for a package of another format, MOA6204 where the folder holds none or it is
    damaged.
    """
    folder = Path(directory).resolve()
    return Package(folder, read_definition(folder / "definition.json"))


class Package:
    """`definition`: what was compiled: shape, rules, rings, kernels (docs/package-format.md)."""

    def __init__(self, folder: Path, definition: Definition) -> None:
        self.folder, self.definition = folder, definition
        self._loaded: dict[Device, KernelSource] = {}

    @property
    def dtypes(self) -> list[torch.dtype]:
        """What sessions may have, in the order of the package."""
        return [
            TORCH_TYPES[each]
            for each in dict.fromkeys(k["elementType"] for k in self.definition["kernels"])
        ]

    def memory(
        self,
        *,
        slots: int,
        length_bound: int,
        pages: int | None = None,
        layers: Sequence[int] | None = None,
    ) -> SessionMemory:
        """Bytes of the KV cache of a session, before anything is allocated. Tables and workspace
        are not counted."""
        slots, length_bound, pages = _check_shape(slots, length_bound, pages)
        return session_memory(
            self.definition, slots, length_bound, pages, check_layers(self.definition, layers)
        )

    def session(
        self,
        *,
        slots: int,
        length_bound: int,
        dtype: torch.dtype | None = None,
        device: DeviceOption = None,
        pages: int | None = None,
        decode_tokens: int = 1,
        rope: RopeOption = None,
        layers: Sequence[int] | None = None,
        slots_free: bool = False,
        scale: float | None = None,
        sink_logits: Table | None = None,
        cache_scales: tuple[Table, Table] | None = None,
    ) -> Session:
        """Makes a session, whose cache is allocated at once.

        slots: each for a sequence, 0 to 65536.
        length_bound: the most tokens a sequence will hold, prompt and new ones. Spans follow from
        it.
        dtype: of q, k, v, out and the cache: torch.bfloat16 or torch.float16; the package's first
        by default.
        device: by default torch's current GPU, or the emulator where there is none. "cpu" is the
        emulator.
        pages: of the pool, which all sequences share; by default for `slots` sequences of
        `length_bound` tokens.
        decode_tokens: the most new tokens of a sequence in one decode, at most the package's.
        rope: how q and k are rotated: "model", the default where the package has it; "none": they
        come rotated;
            {"theta": x}; {"inverse_frequencies": [...], "attention_factor": x}, in radians a token;
            or {"cos_sin": tensor}, float32 `[length_bound, rotary dim / 2, 2]`.
        layers: that the session serves, by their numbers in the model; all by default.
        slots_free: sequences come with `add`. By default each slot begins with an empty one of
        `length_bound` tokens.
        scale: multiplies q.k; the model's by default.
        sink_logits: `[layer of the plan][query head]`, of a model with learned sinks, and required
        there.
        cache_scales: of a cache in e4m3: scales of keys and of values, `[layer of the plan][KV
        head]` each.

        Raises MOA6106 for an option that is not legal, and where kernels are loaded MOA6001,
        MOA6003, MOA6202 to MOA6207.
        """
        slots, length_bound, pages = _check_shape(slots, length_bound, pages)
        served = check_layers(self.definition, layers)
        on = _device_of(device)
        if on.is_capturing():
            raise MoaError(
                "capture", "a session writes tables on the device and cannot be made in a capture"
            )
        source = self._source(on)
        options = SessionOptions(
            slots=slots,
            length_bound=length_bound,
            element_type=self._element_type(dtype),
            pages=pages,
            decode_tokens=check_decode_tokens(source.usable, decode_tokens),
            layers=served,
            scale=check_scale(scale),
            rope=rope,
            sink_logits=check_sink_logits(self.definition, sink_logits),
            cache_scales=check_cache_scales(self.definition, cache_scales),
            slots_free=bool(slots_free),
        )

        def found(kernel: Planner, waits_itself: bool) -> FoundKernel:
            return FoundKernel(
                kernel,
                self.definition["params"][kernel["params"]],
                source.entry(kernel),
                waits_itself,
            )

        def find(role: str, layer: int, rotates: bool, many: bool) -> FoundKernel | None:
            kernel = _find(source.usable, options.element_type, role, layer, rotates, many)
            return (
                None
                if kernel is None
                else found(kernel, source.wait_themselves and role == "decode")
            )

        planners: Mapping[str, FoundKernel] = {
            role: found(kernel, False) for role, kernel in self.definition["planners"].items()
        }
        try:
            return Session(on, self.definition, options, find, planners)
        except BaseException as error:
            # Whoever keeps the error (a notebook keeps the last one) keeps no half-made session.
            traceback.clear_frames(error.__traceback__)
            raise

    def check_device(self, device: DeviceOption = None) -> None:
        """Loads the kernels for a device, as the first session on it would. Raises MOA6001,
        MOA6003, MOA6203 to MOA6207 where that cannot be."""
        self._source(_device_of(device))

    def _source(self, device: Device) -> KernelSource:
        if device not in self._loaded:
            self._loaded[device] = device.load(self.definition, str(self.folder))
        return self._loaded[device]

    def _element_type(self, dtype: torch.dtype | None) -> ElementType:
        types = list(dict.fromkeys(kernel["elementType"] for kernel in self.definition["kernels"]))
        for element_type in types:
            if dtype is None or TORCH_TYPES[element_type] == dtype:
                return element_type
        raise bad_options(
            f"dtype is {describe(str(dtype))}; the package was loaded for {' and '.join(types)}"
        )


def _find(
    kernels: Sequence[Kernel],
    element_type: ElementType,
    role: str,
    layer: int,
    rotates: bool,
    many: bool,
) -> Kernel | None:
    for kernel in kernels:
        fits = (
            kernel["role"] == role
            and kernel["elementType"] == element_type
            and kernel["rope"] == rotates
        )
        if fits and layer in kernel["layers"] and ("tokens" in kernel) == many:
            return kernel
    return None


def _check_shape(slots: int, length_bound: int, pages: int | None) -> tuple[int, int, int | None]:
    slots = check_integer("slots", slots, 0, 65536, "65536")
    length_bound = check_integer("length_bound", length_bound, 1, 2**27, "2^27", " tokens")
    if pages is not None:
        pages = check_integer("pages", pages, 0, 2**31 - 1, "2^31 - 1")
    return slots, length_bound, pages


def _device_of(given: DeviceOption) -> Device:
    if isinstance(given, Emulator):
        return given
    if given is None:
        given = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(given)
    if device.type == "cuda":
        return cuda_device(device.index)
    if device.type == "cpu":
        global _emulator
        _emulator = _emulator or Emulator()
        return _emulator
    raise MoaError(
        "badArgument",
        f"device is {describe(str(given))}",
        'a GPU of torch, or "cpu" for the emulator',
    )
