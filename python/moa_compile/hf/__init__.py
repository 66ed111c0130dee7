"""Compiled packages under models of Hugging Face transformers (docs/python.md, Hugging Face).

    moa_compile.attach(model, "generated/my-model")
    model.generate(...)

transformers is needed here, and nowhere else in the runtime.
"""

from .attach import attach, detach, new_cache, release_memory
from .batch import Generated
from .batch_call import generate_batch
from .cache import MoaCache

__all__ = [
    "Generated",
    "MoaCache",
    "attach",
    "detach",
    "generate_batch",
    "new_cache",
    "release_memory",
]
