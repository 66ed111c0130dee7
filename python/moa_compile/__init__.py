"""Plans of sliding-window attention on torch tensors. Start with `load`; docs/python.md has the
words.

Names are imported when they are first used, so that `python -m moa_compile check` answers where
torch is missing.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .capture import CapturedStep
    from .emulator import Emulator
    from .errors import MoaError
    from .hf import attach, detach, generate_batch
    from .new_tokens import NewTokens
    from .package import Package, load
    from .session import Session
    from .tp import attach_tensor_parallel

__all__ = [
    "CapturedStep",
    "Emulator",
    "MoaError",
    "NewTokens",
    "Package",
    "Session",
    "attach",
    "attach_tensor_parallel",
    "detach",
    "generate_batch",
    "load",
]

_MODULE_OF = {
    "CapturedStep": "capture",
    "Emulator": "emulator",
    "MoaError": "errors",
    "NewTokens": "new_tokens",
    "Package": "package",
    "Session": "session",
    "attach": "hf",
    "attach_tensor_parallel": "tp",
    "detach": "hf",
    "generate_batch": "hf",
    "load": "package",
}


# They need transformers.
_PACKAGES = ("hf", "tp")


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF and name not in _PACKAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
