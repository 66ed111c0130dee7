"""What of the packages this Python has. Imports none of them before it is asked."""

import importlib
import importlib.util
import platform

from .codes import MoaError

REQUIRED = ("torch", "transformers", "safetensors", "tqdm")
OLDEST_TRANSFORMERS = (4, 57)


def missing_packages() -> list[str]:
    """Names of packages that are absent, fail to import, or are too old (then with the version that is needed)."""
    missing = []
    for name in REQUIRED:
        try:
            module = importlib.import_module(name) if importlib.util.find_spec(name) else None
        except Exception:  # A broken installation (a lacking shared library, say) is as good as none.
            module = None
        if module is None:
            missing.append(name)
        elif name == "transformers" and _version(module.__version__) < OLDEST_TRANSFORMERS:
            missing.append("transformers>={}.{}".format(*OLDEST_TRANSFORMERS))
    return missing


def require_packages() -> None:
    missing = missing_packages()
    if missing:
        names = " ".join(repr(name) for name in missing)
        raise MoaError("MOA7400", f"this Python lacks {', '.join(missing)}", f"install with: python -m pip install {names}")


def describe() -> dict:
    """The answer of `check`: versions and device, or what is missing."""
    facts: dict = {"python": platform.python_version()}
    missing = missing_packages()
    if missing:
        return {**facts, "missing": missing}
    for name in ("torch", "transformers", "safetensors"):
        facts[name] = importlib.import_module(name).__version__
    import torch

    cuda = torch.cuda.is_available()
    return {**facts, "cuda": cuda, "device": torch.cuda.get_device_name(0) if cuda else "cpu"}


def _version(text: str) -> tuple[int, int]:
    parts = [int("".join(c for c in part if c.isdigit()) or 0) for part in text.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)
