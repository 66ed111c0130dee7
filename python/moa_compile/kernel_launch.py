"""A launch whose parameters are packed once, and a few of them change from time to time."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from .device import Device, FoundKernel

_CELLS: Final = {
    "pointer": ctypes.c_uint64,
    "int32": ctypes.c_int32,
    "float32": ctypes.c_float,
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
        self._cells: dict[str, Any] = {}
        for field in found.params["fields"]:
            name, offset = field["name"], at + field["offset"]
            value, cell = values[name], _CELLS.get(field["type"])
            if isinstance(value, bytes):
                ctypes.memmove(ctypes.addressof(raw) + offset, value, len(value))
            else:
                assert cell is not None, f"internal error: {name} is a tensor map"
                self._cells[name] = cell.from_buffer(raw, offset)
                self.set(name, value)

    def set(self, name: str, value: int | float) -> None:
        """Changes a parameter that is no tensor map."""
        cell = self._cells[name]
        cell.value = value
        # ctypes cuts integers off.
        if cell.value != value and not isinstance(value, float):
            raise OverflowError(f"internal error: {name} is {value}, not an integer of 32 bits")

    def launch(self, tensors: Sequence[torch.Tensor] = ()) -> None:
        """`tensors`: the caller's, which the parameters point to."""
        self._device.launch(
            self._found, self._grid, self._address, self._found.waits_itself, tensors
        )
