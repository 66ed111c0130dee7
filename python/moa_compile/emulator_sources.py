"""Kernels of a package for the emulator, built from their sources."""

import ctypes
from pathlib import Path

from .definition import Definition, Kernel, Planner, damaged
from .device import Entry, KernelSource
from .errors import MoaError
from .host_compiler import build_emulator_library, check_can_build


class EmulatorSources(KernelSource):
    """Kernels of one architecture: the emulator's, else the package's first. Each is built when it
    is first used."""

    def __init__(self, definition: Definition, folder: Path, asked: str | None) -> None:
        kernels = definition["kernels"]
        names = list(dict.fromkeys(name for kernel in kernels for name in kernel["architectures"]))
        if asked is not None and asked not in names:
            message = (
                f"the emulator was opened for the kernels of {asked}, and the package has those "
                f"of {', '.join(names)}"
            )
            advice = (
                f"compile the plan again with --arch {asked}, or open the emulator for another "
                f"architecture"
            )
            raise MoaError("packageArchitecture", message, advice)
        architecture = asked or names[0]
        self._usable = [kernel for kernel in kernels if architecture in kernel["architectures"]]
        self._folder = folder
        self._libraries: dict[str, ctypes.CDLL] = {}
        sources = [kernel["source"] for kernel in (*self._usable, *definition["planners"].values())]
        missing = [source for source in sources if not (folder / source).is_file()]
        if len(missing) == len(sources):
            help = "compile the plan again with cuda in --emit (which is the default), or use a GPU"
            raise MoaError(
                "packageSources", "the package holds no sources, and the emulator runs those", help
            )
        if missing:
            raise damaged(f"{missing[0]} of the package cannot be read")
        check_can_build()

    @property
    def usable(self) -> list[Kernel]:
        return self._usable

    @property
    def wait_themselves(self) -> bool:
        return True

    def entry(self, kernel: Planner) -> Entry:
        name = kernel["name"]
        library = self._libraries.get(name)
        if library is None:
            path = build_emulator_library(self._folder / kernel["source"], name)
            library = self._libraries[name] = ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)
        function = library[f"{name}_emulate"]
        return Entry(name, ctypes.cast(function, ctypes.c_void_p).value or 0)
