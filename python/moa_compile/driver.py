"""The CUDA driver, `libcuda.so.1`, by ctypes: libraries of kernels, and launches. torch has opened
it already.

CUDA Driver API 12.0 or later: cuLibraryLoadData, cuLibraryGetKernel, cuKernelGetFunction,
cuLaunchKernelEx.
"""

import ctypes
import functools
from typing import Any, Final

from .errors import MoaError

_MULTIPROCESSOR_COUNT: Final = 16
_L2_CACHE_SIZE: Final = 38
_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: Final = 97
_ATTRIBUTES: Final = {
    "multiprocessors": _MULTIPROCESSOR_COUNT,
    "l2_bytes": _L2_CACHE_SIZE,
    "shared_bytes": _MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
}
_FUNCTION_MAX_THREADS: Final = 0
_FUNCTION_STATIC_SHARED: Final = 1
_FUNCTION_REGISTERS: Final = 4
_FUNCTION_MAX_DYNAMIC_SHARED: Final = 8
_PROGRAMMATIC_STREAM_SERIALIZATION: Final = 6
_OUT_OF_MEMORY: Final = 2
_NOT_FOUND: Final = 500
# CUDA_ERROR_INVALID_IMAGE, NO_BINARY_FOR_GPU, INVALID_PTX, UNSUPPORTED_PTX_VERSION
_BAD_IMAGE: Final = {200, 209, 218, 222}
# After these a GPU's context is gone: hardware faults and faults of kernels.
_LOST: Final = {4, 214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 911}


class _LaunchAttribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("value", ctypes.c_char * 64)]


class _LaunchConfig(ctypes.Structure):
    _fields_ = [
        ("gridDimX", ctypes.c_uint),
        ("gridDimY", ctypes.c_uint),
        ("gridDimZ", ctypes.c_uint),
        ("blockDimX", ctypes.c_uint),
        ("blockDimY", ctypes.c_uint),
        ("blockDimZ", ctypes.c_uint),
        ("sharedMemBytes", ctypes.c_uint),
        ("hStream", ctypes.c_void_p),
        ("attrs", ctypes.c_void_p),
        ("numAttrs", ctypes.c_uint),
    ]


assert ctypes.sizeof(_LaunchAttribute) == 72 and ctypes.sizeof(_LaunchConfig) == 56


@functools.cache
def driver() -> "Driver":
    """The driver. Raises MOA6001 where there is none."""
    try:
        return Driver(ctypes.CDLL("libcuda.so.1"))
    except (OSError, AttributeError) as error:
        help = (
            'install an NVIDIA driver for CUDA 12.0 or later, or use device="cpu", which runs the '
            "same kernels emulated"
        )
        raise MoaError("noDriver", f"the NVIDIA driver cannot be used: {error}", help) from error


class Driver:
    """Calls of the driver, whose failures are raised. Handles are integers."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._launch = library.cuLaunchKernelEx
        self._launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        # Required from the beginning, so that an old driver is found out here.
        for name in ("cuLibraryLoadData", "cuLibraryGetKernel", "cuKernelGetFunction"):
            getattr(library, name)
        version = ctypes.c_int()
        self._check(library.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
        # From CUDA 12.3 on graphs have edges of overlapping launches.
        self._may_overlap = version.value >= 12030
        self._attribute = _LaunchAttribute(
            id=_PROGRAMMATIC_STREAM_SERIALIZATION, value=b"\x01\x00\x00\x00"
        )

    def device_facts(self, ordinal: int) -> dict[str, int]:
        """`multiprocessors`, `l2_bytes` and `shared_bytes` (of a block, opt-in) of a device of this
        process."""
        device, value = ctypes.c_int(), ctypes.c_int()
        self._check(self._library.cuDeviceGet(ctypes.byref(device), ordinal), "cuDeviceGet")
        facts = {}
        for name, attribute in _ATTRIBUTES.items():
            self._check(
                self._library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device),
                "cuDeviceGetAttribute",
            )
            facts[name] = value.value
        return facts

    def load_library(self, image: bytes) -> int:
        """A cubin or a fatbin, for all devices of the process."""
        library = ctypes.c_void_p()
        status = self._library.cuLibraryLoadData(
            ctypes.byref(library), image, None, None, 0, None, None, 0
        )
        self._check(status, "cuLibraryLoadData")
        return library.value or 0

    def function(self, library: int, name: str) -> int:
        """A kernel as a function of the current context. Loads its code, which must not happen in a
        capture."""
        kernel, function = ctypes.c_void_p(), ctypes.c_void_p()
        status = self._library.cuLibraryGetKernel(
            ctypes.byref(kernel), ctypes.c_void_p(library), name.encode()
        )
        self._check(status, f"cuLibraryGetKernel of '{name}'")
        self._check(
            self._library.cuKernelGetFunction(ctypes.byref(function), kernel), "cuKernelGetFunction"
        )
        return function.value or 0

    def function_facts(self, function: int) -> dict[str, int]:
        """`max_threads` of a block, `static_shared` bytes and `registers` of a thread."""
        value = ctypes.c_int()
        wanted = {
            "max_threads": _FUNCTION_MAX_THREADS,
            "static_shared": _FUNCTION_STATIC_SHARED,
            "registers": _FUNCTION_REGISTERS,
        }
        facts = {}
        for name, attribute in wanted.items():
            status = self._library.cuFuncGetAttribute(
                ctypes.byref(value), attribute, ctypes.c_void_p(function)
            )
            self._check(status, "cuFuncGetAttribute")
            facts[name] = value.value
        return facts

    def allow_shared(self, function: int, size: int) -> None:
        """Lets blocks of a function have so many bytes of dynamic shared memory."""
        status = self._library.cuFuncSetAttribute(
            ctypes.c_void_p(function), _FUNCTION_MAX_DYNAMIC_SHARED, size
        )
        self._check(status, "cuFuncSetAttribute")

    def launch(
        self,
        function: int,
        grid: int,
        threads: int,
        shared: int,
        stream: int,
        params: int,
        overlaps: bool,
    ) -> None:
        """Launches a function whose one argument lies at the address `params`."""
        config = _LaunchConfig(grid, 1, 1, threads, 1, 1, shared, stream, None, 0)
        if overlaps and self._may_overlap:
            config.attrs, config.numAttrs = ctypes.addressof(self._attribute), 1
        pointers = (ctypes.c_void_p * 1)(params)
        status = self._launch(ctypes.addressof(config), function, ctypes.addressof(pointers), None)
        if status != 0:
            self._check(
                status,
                f"cuLaunchKernelEx of {grid} blocks of {threads} threads with {shared} bytes of "
                f"shared memory",
            )

    def tensor_map(self, address: int, rows: int, columns: int, box_rows: int) -> bytes:
        """A row-major matrix of 16-bit elements in boxes of `box_rows` x 64, with 128-byte swizzle;
        zeros outside."""
        raw = ctypes.create_string_buffer(128 + 64)
        aligned = ctypes.addressof(raw) + -ctypes.addressof(raw) % 64
        uint16, swizzle_128, promote_256, fill_zeros = 1, 3, 3, 0
        status = self._library.cuTensorMapEncodeTiled(
            ctypes.c_void_p(aligned),
            uint16,
            2,
            ctypes.c_void_p(address),
            (ctypes.c_uint64 * 2)(columns, rows),
            (ctypes.c_uint64 * 1)(2 * columns),
            (ctypes.c_uint32 * 2)(64, box_rows),
            (ctypes.c_uint32 * 2)(1, 1),
            0,
            swizzle_128,
            promote_256,
            fill_zeros,
        )
        self._check(status, "cuTensorMapEncodeTiled")
        return ctypes.string_at(aligned, 128)

    def _check(self, status: int, call: str) -> None:
        if status == 0:
            return
        text = ctypes.c_char_p()
        self._library.cuGetErrorName(status, ctypes.byref(text))
        message = f"{call} failed: {(text.value or b'unknown error').decode()} ({status})"
        if status in _LOST:
            raise MoaError("deviceLost", message, "the device is lost: restart the process")
        if status in _BAD_IMAGE:
            raise MoaError(
                "badModule", message, "compile the plan for this device with moa-compile"
            )
        if status == _NOT_FOUND:
            raise MoaError(
                "kernelNotFound", message, "compile the plan again and replace the whole package"
            )
        raise MoaError("outOfMemory" if status == _OUT_OF_MEMORY else "driverFailure", message)
