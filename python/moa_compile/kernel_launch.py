"""A launch whose parameters are packed once, and a few of them change from time to time."""

import ctypes
import struct
from collections.abc import Mapping, Sequence
from typing import Final

import torch

from .device import Device, FoundKernel

_FORMATS: Final = {
    "pointer": struct.Struct("<Q"),
    "int32": struct.Struct("<i"),
    "float32": struct.Struct("<f"),
}
# A struct with tensor maps is aligned so.
_ALIGNMENT: Final = 64


class KernelLaunch:
    """`values`: of every field of the parameters a number, or the bytes of a tensor map."""

    def __init__(
        self,
        device: Device,
        found: FoundKernel,
        grid: int,
        values: Mapping[str, int | float | bytes],
    ) -> None:
        self._device, self._found, self._grid = device, found, grid
        raw = ctypes.create_string_buffer(found.params["bytes"] + _ALIGNMENT)
        at = -ctypes.addressof(raw) % _ALIGNMENT
        self._address = ctypes.addressof(raw) + at
        self._bytes = memoryview(raw).cast("B")[at : at + found.params["bytes"]]
        self._fields = {field["name"]: field for field in found.params["fields"]}
        for name in self._fields:
            self.set(name, values[name])

    def set(self, name: str, value: int | float | bytes) -> None:
        field = self._fields[name]
        offset = field["offset"]
        if isinstance(value, bytes):
            self._bytes[offset : offset + len(value)] = value
        else:
            _FORMATS[field["type"]].pack_into(self._bytes, offset, value)

    def launch(self, tensors: Sequence[torch.Tensor] = ()) -> None:
        """`tensors`: the caller's, which the parameters point to."""
        self._device.launch(
            self._found, self._grid, self._address, self._found.waits_itself, tensors
        )
