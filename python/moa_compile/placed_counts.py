"""Counts of a decode that the host brings to the device."""

from collections.abc import Sequence

from .buffers import int32_bytes
from .device import Buffer, Device


class PlacedCounts:
    """Counts of a decode on the device, which are written where they changed."""

    def __init__(self, device: Device, buffer: Buffer) -> None:
        self.buffer = buffer
        self._device = device
        self._wanted: list[int] = []
        self._written: list[int] | None = None

    def set(self, counts: Sequence[int]) -> None:
        self._wanted = list(counts)

    def write(self) -> None:
        """Brings them to the device where they do not lie there yet."""
        if self._written != self._wanted:
            self._device.write(self.buffer, int32_bytes(self._wanted))
            self._written = self._wanted
