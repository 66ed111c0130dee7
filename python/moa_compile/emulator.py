"""The emulator as a device of CPU tensors: the package's kernels, built by the host's compiler
(native/emulator/abi.h)."""

import contextlib
import ctypes
import struct
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from .definition import Definition
from .device import Buffer, Device, FoundKernel, KernelSource
from .emulator_sources import EmulatorSources
from .errors import MoaError

_ABI_VERSION: Final = 3
_SHARED_BYTES: Final = 227 * 1024
_L2_BYTES: Final = 50 << 20
_KEPT_FINDINGS: Final = 64
_SHOWN_FINDINGS: Final = 5
_ALIGNMENT: Final = 256
# Bytes of memory for which the emulator notes the launch that wrote them last.
_GRANULE: Final = 16
_TENSOR_MAP: Final = struct.Struct("<QQQQQII80x")
_TENSOR_MAP_MAGIC: Final = 0x4D4F412D544D4150
_COUNTER_BYTES: Final = 19 * 8
_MASK64: Final = 2**64 - 1


class _Finding(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_char * 32), ("message", ctypes.c_char * 480)]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("abiVersion", ctypes.c_uint32),
        ("gridSize", ctypes.c_uint32),
        ("blockThreads", ctypes.c_uint32),
        ("sharedBytes", ctypes.c_uint32),
        ("params", ctypes.c_void_p),
        ("paramsBytes", ctypes.c_uint64),
        ("allocations", ctypes.c_void_p),
        ("allocationCount", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("failOnBankConflict", ctypes.c_uint32),
        ("findingCapacity", ctypes.c_uint32),
        ("findings", ctypes.c_void_p),
        ("findingCount", ctypes.c_uint32),
        ("programmatic", ctypes.c_uint32),
        ("counters", ctypes.c_void_p),
        ("number", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


_ENTRY_TYPE: Final = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(_Launch))


@dataclass(frozen=True)
class _Owned:
    """Memory that the emulator knows: its size, its number in findings, and which launch wrote each
    granule last."""

    bytes: int
    number: int
    written: torch.Tensor


@dataclass(frozen=True)
class _Recorded:
    found: FoundKernel
    grid: int
    params: ctypes.Array[ctypes.c_char]
    address: int
    overlaps: bool
    tensors: tuple[torch.Tensor, ...]


class Emulator(Device):
    """A device of CPU tensors, on which kernels are host functions and launches are done when they
    return.

    multiprocessors: what the device claims to have: work is shared out for it.
    seed: draws the order of blocks, warps and asynchronous copies. Results do not depend on it.
    architecture: whose kernels of a package are run (`sm_90a`); by default those of the package's
    first.
    fail_on_bank_conflict: a bank conflict is an error instead of a count.
    """

    kind = "emulator"

    def __init__(
        self,
        *,
        multiprocessors: int = 8,
        seed: int = 0,
        architecture: str | None = None,
        fail_on_bank_conflict: bool = False,
    ) -> None:
        self.torch_device = torch.device("cpu")
        self.multiprocessors = multiprocessors
        self.l2_bytes = _L2_BYTES
        self.architecture = architecture
        self._seed = seed
        self._fail_on_bank_conflict = fail_on_bank_conflict
        self._owned: dict[int, _Owned] = {}
        self._buffers = 0
        self._launches = 0
        self._recorded: list[_Recorded] | None = None
        self._findings = (_Finding * _KEPT_FINDINGS)()
        self._counters = ctypes.create_string_buffer(_COUNTER_BYTES)

    def allocate(self, size: int) -> Buffer:
        try:
            whole = torch.full((max(size, 1) + _ALIGNMENT,), 0xFF, dtype=torch.uint8)
        except RuntimeError as error:
            raise MoaError(
                "outOfMemory", f"the host has no room for a buffer of {size} bytes"
            ) from error
        begin = -whole.data_ptr() % _ALIGNMENT
        tensor = whole[begin : begin + max(size, 1)]
        address = tensor.data_ptr()
        if size > 0:
            self._buffers += 1
            written = torch.zeros(size // _GRANULE + 1, dtype=torch.int32)
            self._owned[address] = _Owned(size, self._buffers, written)
            weakref.finalize(tensor, self._owned.pop, address, None)
        return Buffer(tensor, address, size)

    def write(self, buffer: Buffer, data: bytes) -> None:
        if not data:
            return
        ctypes.memmove(buffer.address, data, len(data))
        self._owned[buffer.address].written[: (len(data) - 1) // _GRANULE + 1] = 0

    def fill(self, buffer: Buffer, value: int) -> None:
        super().fill(buffer, value)
        if buffer.bytes > 0:
            self._owned[buffer.address].written.zero_()

    def tensor_map(self, address: int, rows: int, columns: int, box_rows: int) -> bytes:
        return _TENSOR_MAP.pack(_TENSOR_MAP_MAGIC, address, rows, columns, 2 * columns, box_rows, 0)

    def load(self, definition: Definition, folder: str) -> KernelSource:
        return EmulatorSources(definition, Path(folder), self.architecture)

    def is_capturing(self) -> bool:
        return False

    def launch(
        self,
        found: FoundKernel,
        grid: int,
        params: int,
        overlaps: bool,
        tensors: Sequence[torch.Tensor],
    ) -> None:
        if self._recorded is None:
            self._run(found, grid, params, overlaps, tensors)
            return
        size = found.params["bytes"]
        raw = ctypes.create_string_buffer(size + 64)
        address = ctypes.addressof(raw) + -ctypes.addressof(raw) % 64
        ctypes.memmove(address, params, size)
        self._recorded.append(_Recorded(found, grid, raw, address, overlaps, tuple(tensors)))

    @contextlib.contextmanager
    def record(self) -> Iterator[Callable[[], None]]:
        """Launches in the block are kept, and run by what it is given: the emulator's graph."""
        recorded: list[_Recorded] = []

        def replay() -> None:
            # A graph begins after all before it has ended.
            for number, each in enumerate(recorded):
                self._run(
                    each.found, each.grid, each.address, each.overlaps and number > 0, each.tensors
                )

        self._recorded = recorded
        try:
            yield replay
        finally:
            self._recorded = None

    def _run(
        self,
        found: FoundKernel,
        grid: int,
        params: int,
        overlaps: bool,
        tensors: Sequence[torch.Tensor],
    ) -> None:
        table, count = self._allocations(tensors)
        ctypes.memset(self._findings, 0, ctypes.sizeof(self._findings))
        seed = _mix(self._seed + (self._launches + 1) * 0x9E3779B97F4A7C15)
        self._launches += 1
        name = found.entry.name
        launch = _Launch(
            abiVersion=_ABI_VERSION,
            gridSize=grid,
            blockThreads=found.definition["threads"],
            sharedBytes=found.definition["sharedBytes"],
            params=params,
            paramsBytes=found.params["bytes"],
            allocations=ctypes.addressof(table),
            allocationCount=count,
            seed=seed,
            failOnBankConflict=int(self._fail_on_bank_conflict),
            findingCapacity=_KEPT_FINDINGS,
            findings=ctypes.addressof(self._findings),
            programmatic=int(overlaps),
            counters=ctypes.addressof(self._counters),
            number=self._launches,
        )
        status = _ENTRY_TYPE(found.entry.handle)(ctypes.byref(launch))
        what = f"kernel '{name}' (launch {self._launches - 1} of seed {self._seed})"
        if launch.findingCount > 0:
            shown = [
                f"\n  {f.kind.decode()}: {f.message.decode()}"
                for f in self._findings[:_SHOWN_FINDINGS]
                if f.kind
            ]
            text = f"{what} has {launch.findingCount} findings:{''.join(shown)}"
            raise MoaError(
                "emulatorFinding",
                text,
                "the same seed gives the same run; see the line that each finding names",
            )
        if status != 0:
            raise MoaError(
                "wrongParams", f"{what} was refused (status {status})", "compile the plan again"
            )

    def _allocations(
        self, tensors: Sequence[torch.Tensor]
    ) -> tuple[ctypes.Array[ctypes.c_char], int]:
        """The memory that a launch may touch, by address. Tensors that touch each other count as
        one."""
        rows = [
            (at, owned.bytes, owned.number, owned.written.data_ptr())
            # A copy: a collector that runs here takes entries out.
            for at, owned in self._owned.copy().items()
        ]
        rows += [
            (tensor.data_ptr(), tensor.nbytes, 0, 0) for tensor in tensors if tensor.nbytes > 0
        ]
        merged: list[tuple[int, int, int, int]] = []
        for row in sorted(rows):
            if merged and merged[-1][0] + merged[-1][1] >= row[0]:
                begin, size, number, written = merged[-1]
                merged[-1] = (begin, max(size, row[0] + row[1] - begin), number, written)
            else:
                merged.append(row)
        table = ctypes.create_string_buffer(max(1, 32 * len(merged)))
        for index, row in enumerate(merged):
            struct.pack_into("<QQQQ", table, 32 * index, *row)
        return table, len(merged)


def _mix(value: int) -> int:
    """The finaliser of SplitMix64: seeds that differ in one bit give unrelated runs."""
    value &= _MASK64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK64
    return value ^ (value >> 31)
