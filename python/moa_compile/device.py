"""What a session needs of a device: memory, and launches in the order of torch's current stream."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from .definition import Definition, Kernel, Planner, Struct


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory of a session. It lives as long as its tensor, which is empty of meaning: bytes."""

    tensor: torch.Tensor
    address: int
    bytes: int

    def int32(self) -> torch.Tensor:
        """The same memory as a tensor of int32."""
        return self.tensor[: self.bytes // 4 * 4].view(torch.int32)


@dataclass(frozen=True)
class Entry:
    """A kernel on a device. `handle`: a CUfunction, or the address of the emulator's entry."""

    name: str
    handle: int


@dataclass(frozen=True)
class FoundKernel:
    """A loaded kernel and what the package says of it.

    `waits_itself`: it may be launched before the launch before it has ended.
    """

    definition: Planner
    params: Struct
    entry: Entry
    waits_itself: bool


class KernelSource(ABC):
    """The kernels of a package on a device."""

    @property
    @abstractmethod
    def usable(self) -> list[Kernel]:
        """Kernels that compute, of the architecture that the device runs."""

    @property
    @abstractmethod
    def wait_themselves(self) -> bool:
        """Whether decode kernels wait for the launch before them themselves (griddepcontrol)."""

    @abstractmethod
    def entry(self, kernel: Planner) -> Entry:
        """The kernel, loaded."""


class Device(ABC):
    """A GPU, or the emulator, whose memory is that of CPU tensors."""

    kind: Literal["cuda", "emulator"]
    torch_device: torch.device
    multiprocessors: int
    l2_bytes: int

    @abstractmethod
    def allocate(self, size: int) -> Buffer:
        """So many bytes at a multiple of 256. Raises MOA6006 where there is no memory."""

    @abstractmethod
    def write(self, buffer: Buffer, data: bytes) -> None:
        """Copies data to the beginning of a buffer, behind what was launched, without waiting."""

    def upload(self, data: bytes) -> Buffer:
        """A buffer with a copy of the data."""
        buffer = self.allocate(len(data))
        self.write(buffer, data)
        return buffer

    def fill(self, buffer: Buffer, value: int) -> None:
        """Sets every byte of a buffer."""
        buffer.tensor.fill_(value)

    @abstractmethod
    def tensor_map(self, address: int, rows: int, columns: int, box_rows: int) -> bytes:
        """128 bytes that describe a row-major matrix of 16-bit elements, copied in boxes of
        `box_rows` x 64."""

    @abstractmethod
    def load(self, definition: Definition, folder: str) -> KernelSource:
        """The kernels of a package. Raises MOA6203, MOA6204, MOA6206 or MOA6207 where there are
        none for this device."""

    @abstractmethod
    def launch(
        self,
        found: FoundKernel,
        grid: int,
        params: int,
        overlaps: bool,
        tensors: Sequence[torch.Tensor],
    ) -> None:
        """Starts a kernel, whose parameters lie at the address `params` and are read before this
        returns.

        `overlaps`: it may begin before the launch before it has ended. `tensors`: the caller's,
        which it reads or writes.
        """

    @abstractmethod
    def is_capturing(self) -> bool:
        """Whether torch captures the current stream into a CUDA graph."""
