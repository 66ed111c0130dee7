"""Models of Hugging Face over several GPUs (docs/tensor-parallel.md): each process of
torch.distributed holds the heads that the package's `tensor-parallel.json` gives its rank.

    moa_compile.attach_tensor_parallel(model, "generated/my-model")
    model.generate(...)

Modules, from the file to the model: `assignment` reads which rank has which heads, `cuts` takes a
part of a tensor, `layers` says which part of each parameter, of `plain` projections. `shard` puts
the parts into the model, where `trace` and `check` see that they add up to the whole, `sums` adds
them up, and `states` keeps them from being saved as if they were the whole. `ranks` agrees with the
other processes, about the model by its `fingerprint`, and `attach` is all of it. `build` and
`checkpoint` make models of which no process ever has the whole.
"""

from .attach import attach_tensor_parallel, shard_model
from .checkpoint import load_sharded

__all__ = ["attach_tensor_parallel", "load_sharded", "shard_model"]
