"""Sets of buffers as the package declares them (docs/package-format.md, "Buffers")."""

import struct
from collections.abc import Iterable, Mapping
from math import prod
from typing import Final

from .definition import Definition, SetName
from .device import Buffer, Device
from .errors import internal
from .expressions import evaluate

_SCALARS: Final = {"int32": "i", "uint32": "I", "float32": "f", "uint16": "H", "uint8": "B"}


def int32_bytes(values: Iterable[int]) -> bytes:
    """The numbers as little-endian int32."""
    numbers = list(values)
    return struct.pack(f"<{len(numbers)}i", *numbers)


class BufferSizes:
    """A set of buffers, for values of its variables. `values` are those of all variables and named
    sizes, for grids too."""

    def __init__(self, definition: Definition, name: SetName, variables: Mapping[str, int]) -> None:
        shape = definition["shape"]
        self._definition, self._name = definition, name
        self._set = definition["buffers"][name]
        self.values: dict[str, int] = {
            "queryHeads": shape["queryHeads"],
            "kvHeads": shape["kvHeads"],
            **variables,
        }
        for size, expression in self._set["sizes"].items():
            self.values[size] = evaluate(expression, self.values)

    def having(self, **variables: int) -> "BufferSizes":
        """The same where variables have other values, or more of them have some."""
        return BufferSizes(self._definition, self._name, {**self.values, **variables})

    def bytes_of(self, name: str) -> int:
        """Bytes of a buffer."""
        return self._bytes_from(name, 0)

    def stride(self, name: str) -> int:
        """Bytes from an entry of the first dimension (a class, or a layer) to the next one."""
        return self._bytes_from(name, 1)

    def make(self, device: Device, name: str, content: bytes | None = None) -> Buffer:
        """A buffer with its first content. `content`: what only the host knows."""
        size = self.bytes_of(name)
        data = self._initial(name) if content is None else content
        if data is not None:
            assert len(data) == size, (
                f"internal error: {name} has not the bytes that the package says"
            )
            return device.upload(data)
        buffer = device.allocate(size)
        initial = self._set["buffers"][name]["initial"]
        if initial["kind"] == "bytes":
            device.fill(buffer, initial["value"])
        return buffer

    def _initial(self, name: str) -> bytes | None:
        buffer = self._set["buffers"][name]
        initial = buffer["initial"]
        if initial["kind"] == "host":
            internal(f"{name} is filled by the host")
        if initial["kind"] == "table":
            rows = self._definition["tables"][initial["name"]]
            return int32_bytes(
                number for row in rows for number in (row if isinstance(row, list) else [row])
            )
        if initial["kind"] == "range":
            first, step = evaluate(initial["first"], self.values), initial["step"]
            count = self.bytes_of(name) // self._element_bytes(buffer["element"])
            numbers = (first + number * step for number in range(count))
            return struct.pack(f"<{count}{_SCALARS[buffer['element']]}", *numbers)
        return None

    def _bytes_from(self, name: str, dimension: int) -> int:
        buffer = self._set["buffers"][name]
        sizes = [evaluate(size, self.values) for size in buffer["shape"][dimension:]]
        return prod(sizes) * self._element_bytes(buffer["element"])

    def _element_bytes(self, element: str) -> int:
        scalar = _SCALARS.get(element)
        return (
            self._definition["structs"][element]["bytes"]
            if scalar is None
            else struct.calcsize(scalar)
        )
