"""The device of this test: kernels built for the emulator, by their C interface (native/emulator/abi.h)."""
import ctypes
import struct

u32, u64, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p


class Launch(ctypes.Structure):
    _fields_ = [("abiVersion", u32), ("gridSize", u32), ("blockThreads", u32), ("sharedBytes", u32),
                ("params", pointer), ("paramsBytes", u64), ("allocations", pointer), ("allocationCount", u64),
                ("seed", u64), ("failOnBankConflict", u32), ("findingCapacity", u32), ("findings", pointer),
                ("findingCount", u32), ("programmatic", u32), ("counters", pointer), ("number", u32), ("reserved", u32)]


class Device:
    """`libraries`: the path of each kernel's library."""

    def __init__(self, libraries, multiprocessors):
        self.libraries, self.multiprocessors = libraries, multiprocessors
        self.kept, self.sizes, self.launches = [], {}, 0

    def allocate(self, size, kept=None):
        """The address of so many bytes, a multiple of 256. With `kept` they last as long as it, and are no kernel's."""
        raw = ctypes.create_string_buffer(size + 512)
        address = (ctypes.addressof(raw) + 255) // 256 * 256
        (self.kept if kept is None else kept).append(raw)
        if kept is None and size > 0:
            self.sizes[address] = size
        return address

    def write(self, address, data):
        ctypes.memmove(address, bytes(data), len(data))
        return address

    def upload(self, data, kept=None):
        return self.write(self.allocate(len(data), kept), data)

    def read(self, address, size):
        return ctypes.string_at(address, size)

    def launch(self, name, grid, threads, shared_bytes, params):
        kept = []
        places = sorted(self.sizes.items())
        rows = [struct.pack("<QQQQ", address, size, number, 0) for number, (address, size) in enumerate(places)]
        findings, counters = self.allocate(512, kept), self.allocate(512, kept)
        self.launches += 1
        own = self.upload(params, kept), len(params), self.upload(b"".join(rows), kept), len(rows)
        seed = number = self.launches
        launch = Launch(3, grid, threads, shared_bytes, *own, seed, 0, 1, findings, 0, 0, counters, number, 0)
        status = ctypes.CDLL(self.libraries[name])[name + "_emulate"](ctypes.byref(launch))
        assert (status, launch.findingCount) == (0, 0), (name, status, self.read(findings, 512).replace(b"\0", b" "))
