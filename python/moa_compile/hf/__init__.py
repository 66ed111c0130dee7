"""Compiled packages under models of Hugging Face transformers (docs/python.md, Hugging Face).

    moa_compile.attach(model, "generated/my-model")
    model.generate(...)

transformers is needed here, and nowhere else in the runtime.
"""

from .attach import attach, detach, new_cache, release_memory
from .cache import MoaCache

__all__ = ["MoaCache", "attach", "detach", "new_cache", "release_memory"]
