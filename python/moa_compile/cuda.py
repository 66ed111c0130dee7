"""A GPU as a device: the package's machine code, launched on torch's current stream."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch

from .definition import Definition, Kernel, Planner, damaged
from .device import Buffer, Device, Entry, FoundKernel, KernelSource
from .driver import driver
from .errors import MoaError

# Registers of a multiprocessor, of every GPU that kernels are compiled for.
_REGISTERS: Final = 65536
# Compute capability that kernels need.
_OLDEST: Final = (8, 0)


class CudaDevice(Device):
    """`index`: torch's number of the GPU."""

    kind = "cuda"

    def __init__(self, index: int) -> None:
        self.torch_device = torch.device("cuda", index)
        with torch.cuda.device(index):
            # Makes torch create the primary context, in which kernels are loaded.
            torch.empty(1, device=self.torch_device)
        facts = driver().device_facts(index)
        self.multiprocessors, self.l2_bytes = facts["multiprocessors"], facts["l2_bytes"]
        self.shared_bytes = facts["shared_bytes"]
        self.capability: tuple[int, int] = torch.cuda.get_device_capability(index)
        self.name: str = torch.cuda.get_device_name(index)

    def allocate(self, size: int) -> Buffer:
        try:
            tensor = torch.empty(max(size, 1), dtype=torch.uint8, device=self.torch_device)
        except torch.OutOfMemoryError as error:
            raise MoaError("outOfMemory", f"{size} bytes were asked for: {error}") from error
        return Buffer(tensor, tensor.data_ptr(), size)

    def write(self, buffer: Buffer, data: bytes) -> None:
        if not data:
            return
        # Pinned memory is kept by torch until the copy has passed.
        staged = torch.frombuffer(bytearray(data), dtype=torch.uint8).pin_memory()
        buffer.tensor[: len(data)].copy_(staged, non_blocking=True)

    def tensor_map(self, address: int, rows: int, columns: int, box_rows: int) -> bytes:
        return driver().tensor_map(address, rows, columns, box_rows)

    def load(self, definition: Definition, folder: str) -> KernelSource:
        return _MachineCode(self, definition, Path(folder))

    def is_capturing(self) -> bool:
        return torch.cuda.is_current_stream_capturing()

    def launch(
        self,
        found: FoundKernel,
        grid: int,
        params: int,
        overlaps: bool,
        tensors: Sequence[torch.Tensor],
    ) -> None:
        index = self.torch_device.index
        stream = torch.cuda.current_stream(index).cuda_stream
        definition = found.definition
        arguments = (
            grid,
            definition["threads"],
            definition["sharedBytes"],
            stream,
            params,
            overlaps,
        )
        if torch.cuda.current_device() == index:
            driver().launch(found.entry.handle, *arguments)
        else:
            with torch.cuda.device(index):
                driver().launch(found.entry.handle, *arguments)


def cuda_device(index: int | None) -> CudaDevice:
    """The GPU of this number, or torch's current one. Raises MOA6001 or MOA6003 where there is
    none."""
    if not torch.cuda.is_available():
        help = (
            'check nvidia-smi and that torch was built for CUDA, or use device="cpu", which runs '
            "the same kernels emulated"
        )
        raise MoaError("noDriver", "torch has no GPU", help)
    if index is None:
        index = torch.cuda.current_device()
    if index >= torch.cuda.device_count():
        help = "nvidia-smi -L lists the GPUs; CUDA_VISIBLE_DEVICES chooses among them"
        raise MoaError(
            "noSuchDevice",
            f"there is no device cuda:{index}: torch sees {torch.cuda.device_count()}",
            help,
        )
    if index not in _devices:
        _devices[index] = CudaDevice(index)
    return _devices[index]


_devices: dict[int, CudaDevice] = {}


def _number(architecture: str) -> tuple[int, int, bool]:
    """Major and minor version of `sm_90a`, and whether it is for this version alone."""
    match = re.fullmatch(r"sm_(\d+)(\d)([af]?)", architecture)
    assert match is not None, f"internal error: {architecture} is not an architecture's name"
    return int(match[1]), int(match[2]), match[3] != ""


def choose_code(
    definition: Definition, capability: tuple[int, int], shared_bytes: int
) -> Iterator[tuple[str, str]]:
    """Architectures whose code a GPU runs, and the files, the best first: cubins of the newest
    version, with its own instructions before without, then PTX of the newest. Code that needs more
    shared memory of a block comes last."""
    found: list[tuple[tuple[bool, bool, int, int, bool], str, str]] = []
    ptx = definition.get("ptx")
    for architecture in definition["cubins"]:
        major, minor, exact = _number(architecture)
        own = [
            k["sharedBytes"] for k in definition["kernels"] if architecture in k["architectures"]
        ]
        fits = max(own, default=0) <= shared_bytes
        if major == capability[0] and (minor == capability[1] if exact else minor <= capability[1]):
            found.append(
                (
                    (fits, True, major, minor, exact),
                    architecture,
                    definition["cubins"][architecture],
                )
            )
        if (
            ptx is not None
            and architecture in ptx["architectures"]
            and not exact
            and (major, minor) <= capability
        ):
            found.append(((fits, False, major, minor, exact), architecture, ptx["path"]))
    for _, architecture, path in sorted(found, reverse=True):
        yield architecture, path


class _MachineCode(KernelSource):
    def __init__(self, device: CudaDevice, definition: Definition, folder: Path) -> None:
        self._device = device
        choice = next(choose_code(definition, device.capability, device.shared_bytes), None)
        capability = "{}.{}".format(*device.capability)
        if choice is None:
            names = ", ".join(definition["cubins"])
            made = f"it was compiled for {names}" if names else "it holds sources only"
            message = (
                f"the package has no cubin for {device.name} (compute capability {capability}): "
                f"{made}"
            )
            advice = f"compile the plan again with --arch {capability}"
            if device.capability < _OLDEST:
                advice = "use a GPU of compute capability {}.{} or later".format(*_OLDEST)
            raise MoaError("packageArchitecture", message, advice)
        self._architecture, path = choice
        self._usable = [
            kernel
            for kernel in definition["kernels"]
            if self._architecture in kernel["architectures"]
        ]
        self._library = driver().load_library(_read_image(folder, path))
        # All of them now: loading code is not allowed in a capture.
        with torch.cuda.device(device.torch_device):
            self._entries = {
                kernel["name"]: self._load(kernel)
                for kernel in (*self._usable, *definition["planners"].values())
            }

    @property
    def usable(self) -> list[Kernel]:
        return self._usable

    @property
    def wait_themselves(self) -> bool:
        return _number(self._architecture)[0] >= 9

    def entry(self, kernel: Planner) -> Entry:
        return self._entries[kernel["name"]]

    def _load(self, kernel: Planner) -> Entry:
        name, threads = kernel["name"], kernel["threads"]
        function = driver().function(self._library, name)
        facts = driver().function_facts(function)
        shared = kernel["sharedBytes"] + facts["static_shared"]
        needs = None
        if shared > self._device.shared_bytes:
            needs = (
                f"needs {shared} bytes of shared memory a block; a block may have "
                f"{self._device.shared_bytes}"
            )
        elif threads > facts["max_threads"]:
            needs = (
                f"has blocks of {threads} threads; of this kernel a block may have "
                f"{facts['max_threads']}"
            )
        elif threads * facts["registers"] > _REGISTERS:
            needs = (
                f"needs {threads * facts['registers']} registers a block; a multiprocessor has "
                f"{_REGISTERS}"
            )
        if needs is not None:
            message = (
                f"kernel {name} of the package ({self._architecture}) {needs} on "
                f"{self._device.name}"
            )
            raise MoaError(
                "packageLimits",
                message,
                "compile the plan again with --arch {}.{}".format(*self._device.capability),
            )
        driver().allow_shared(function, kernel["sharedBytes"])
        return Entry(name, function)


def _read_image(folder: Path, path: str) -> bytes:
    """Machine code, found to be that of the package's manifest."""
    try:
        image = (folder / path).read_bytes()
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(f"{path} or manifest.json of the package cannot be read") from error
    if manifest.get("files", {}).get(path, {}).get("sha256") != hashlib.sha256(image).hexdigest():
        raise damaged(f"{path} is not the file that the package's manifest lists")
    return image
