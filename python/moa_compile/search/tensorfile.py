"""Writing .safetensors and other files so that a reader sees the old file or the whole new one.

The writer of the safetensors package puts metadata into a random order; equal profiles should be equal bytes, so the format (8 bytes of header length,
a JSON header, the tensors one after the other) is written here.
"""

import contextlib
import json
import os

import torch

from .codes import MoaError

_TYPES = {torch.float32: "F32", torch.float64: "F64"}


def write_tensors(path: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Writes CPU tensors under their names, in the order given. Raises MOA7409."""
    header: dict = {"__metadata__": metadata}
    offset = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # Tensors begin at multiples of 8 bytes.
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for tensor in tensors.values():
            file.write(memoryview(tensor.contiguous().numpy()).cast("B"))


@contextlib.contextmanager
def replacing(path: str):
    """A binary file that takes the place of `path` when all of it is on the disk. Raises MOA7409."""
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def require_writable(path: str) -> None:
    """Raises MOA7409 now rather than after hours if `path` cannot be written."""
    if os.path.isdir(path):
        raise cannot_write(path, IsADirectoryError(21, "it is a folder"))
    temporary = f"{path}.tmp"
    try:
        with open(temporary, "wb"):
            pass
        os.unlink(temporary)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str, error: OSError) -> MoaError:
    help = "give another --output, or make room there; the same command goes on where it stopped"
    return MoaError("MOA7409", f"{path} cannot be written: {error.strerror or error}", help)
