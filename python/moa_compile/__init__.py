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

__all__ = [
    "CapturedStep",
    "Emulator",
    "MoaError",
    "NewTokens",
    "Package",
    "Session",
    "attach",
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
    "detach": "hf",
    "generate_batch": "hf",
    "load": "package",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
