"""What is told to the CUDA driver, without one: a stand-in notes the calls."""

import ctypes
import unittest
from unittest import mock

import torch

import moa_compile
from moa_compile import cuda, driver


def copied(kind, address: int):
    return kind.from_buffer_copy(ctypes.string_at(address, ctypes.sizeof(kind)))


class StandIn:
    """The driver's entries that a launch needs. `status`: what they return."""

    def __init__(self, version: int = 13000) -> None:
        self.version, self.status, self.launched = version, 0, []

        # A function, so that it has attributes as an entry of ctypes has.
        def launch(config: int, function: int, params: int, _: None) -> int:
            held = copied(driver._LaunchConfig, config)
            argument = ctypes.c_void_p.from_address(params).value
            attribute = copied(driver._LaunchAttribute, held.attrs) if held.numAttrs else None
            self.launched.append((held, function, argument, attribute))
            return self.status

        self.cuLaunchKernelEx = launch
        self.cuLibraryLoadData = self.cuLibraryGetKernel = self.cuKernelGetFunction = None

    def cuDriverGetVersion(self, version) -> int:
        version._obj.value = self.version
        return 0

    def cuGetErrorName(self, status: int, text) -> int:
        text._obj.value = {700: b"CUDA_ERROR_ILLEGAL_ADDRESS", 2: b"CUDA_ERROR_OUT_OF_MEMORY"}[
            status
        ]
        return 0


class Launches(unittest.TestCase):
    def test_configuration(self) -> None:
        library = StandIn()
        driver.Driver(library).launch(11, 22, 128, 4096, 33, 44, False)
        config, function, argument, attribute = library.launched[0]
        sizes = (
            config.gridDimX,
            config.gridDimY,
            config.blockDimX,
            config.blockDimZ,
            config.sharedMemBytes,
        )
        self.assertEqual(sizes, (22, 1, 128, 1, 4096))
        self.assertEqual((config.hStream, function, argument, attribute), (33, 11, 44, None))

    def test_launches_that_may_overlap(self) -> None:
        library = StandIn()
        driver.Driver(library).launch(11, 22, 128, 4096, 33, 44, True)
        attribute = library.launched[0][3]
        self.assertEqual((attribute.id, attribute.value), (6, b"\x01"))
        # Graphs of older drivers have no such edges.
        old = StandIn(12020)
        driver.Driver(old).launch(11, 22, 128, 4096, 33, 44, True)
        self.assertIsNone(old.launched[0][3])

    def test_failures(self) -> None:
        for status, code in ((700, "MOA6014"), (2, "MOA6006")):
            library = StandIn()
            library.status = status
            with self.assertRaises(moa_compile.MoaError) as raised:
                driver.Driver(library).launch(11, 22, 128, 4096, 33, 44, False)
            self.assertEqual(raised.exception.code, code)
            self.assertIn("cuLaunchKernelEx of 22 blocks", str(raised.exception))


class Devices(unittest.TestCase):
    def test_out_of_memory(self) -> None:
        device = object.__new__(cuda.CudaDevice)
        device.torch_device = torch.device("cpu")
        full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        with (
            mock.patch("torch.empty", side_effect=full),
            self.assertRaises(moa_compile.MoaError) as raised,
        ):
            device.allocate(2**31)
        self.assertEqual(raised.exception.code, "MOA6006")
        self.assertIn("2147483648 bytes were asked for: CUDA out of", str(raised.exception))
        self.assertIn("ask for less", raised.exception.help)

    def test_a_gpu_that_the_package_does_not_serve(self) -> None:
        for capability, cubins, found, advice in (
            ((12, 0), {"sm_80": "", "sm_90a": ""}, "compiled for sm_80, sm_90a", "--arch 12.0"),
            ((9, 0), {}, "holds sources only", "--arch 9.0"),
            ((7, 5), {"sm_80": ""}, "compiled for sm_80", "8.0 or later"),
        ):
            device = object.__new__(cuda.CudaDevice)
            device.capability, device.shared_bytes, device.name = capability, 232448, "a GPU"
            definition = {"cubins": cubins, "kernels": []}
            with self.subTest(capability), self.assertRaises(moa_compile.MoaError) as raised:
                device.load(definition, "/nowhere")
            self.assertEqual(raised.exception.code, "MOA6203")
            self.assertIn("no cubin for a GPU (compute capability", str(raised.exception))
            self.assertIn(found, str(raised.exception))
            self.assertIn(advice, raised.exception.help)


class Code(unittest.TestCase):
    def choices(self, capability: tuple[int, int], shared: int = 232448) -> list[tuple[str, str]]:
        architectures = ("sm_80", "sm_86", "sm_90", "sm_90a")
        definition = {
            "cubins": {name: f"cubin/{name}.cubin" for name in architectures},
            "ptx": {"path": "cubin/ptx.fatbin", "architectures": ["sm_90"]},
            "kernels": [{"architectures": ["sm_80", "sm_90", "sm_90a"], "sharedBytes": 150000}],
        }
        return list(cuda.choose_code(definition, capability, shared))

    def test_the_best_comes_first(self) -> None:
        first = lambda *given: self.choices(*given)[0]
        self.assertEqual(first((9, 0)), ("sm_90a", "cubin/sm_90a.cubin"))
        self.assertEqual(first((8, 0)), ("sm_80", "cubin/sm_80.cubin"))
        self.assertEqual(first((8, 9), 101376), ("sm_86", "cubin/sm_86.cubin"))
        self.assertEqual(first((12, 0)), ("sm_90", "cubin/ptx.fatbin"))
        self.assertEqual(self.choices((7, 5)), [])
        # Code that needs more shared memory than a block has is the last resort.
        self.assertEqual([name for name, _ in self.choices((8, 6), 101376)], ["sm_86", "sm_80"])
