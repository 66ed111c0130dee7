"""Whether a package is for a model: all that would make other text than the plan's is refused."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from ..definition import Definition, default_scale, layer_numbers
from ..errors import MoaError
from ..package import Package
from ..rope_frequencies import rope_frequencies
from .facts import LayerFacts
from .problems import problem


def check_placement(model: nn.Module, package: Package) -> tuple[torch.device, torch.dtype]:
    """The one device and element type of a model. Raises MOA6302 for several, or for a type that
    the package has no kernels for."""
    devices = {parameter.device for parameter in model.parameters()}
    if len(devices) != 1 or next(iter(devices)).type not in ("cuda", "cpu"):
        named = " and ".join(sorted(str(device) for device in devices)) or "nowhere"
        raise problem("modelPlacement", f"the model lies on {named}; it must be on one GPU, or cpu")
    dtype = next(model.parameters()).dtype
    own = getattr(model, "dtype", dtype)
    if own not in package.dtypes:
        served = " and ".join(str(each) for each in package.dtypes)
        raise problem("modelPlacement", f"the model holds {own}; the package serves {served}")
    return next(iter(devices)), own


def check_layers(layers: Sequence[LayerFacts], device: torch.device, dtype: torch.dtype) -> None:
    """Raises MOA6302 where queries come on another device, or in another element type."""
    for number, facts in enumerate(layers):
        if facts.dtype != dtype or facts.device.type != device.type:
            message = f"queries of layer {number} hold {facts.dtype} on {facts.device}"
            raise problem("modelPlacement", f"{message}; the model holds {dtype} on {device}")


def check_package(package: Package, layers: Sequence[LayerFacts], decoder: nn.Module) -> None:
    """Raises MOA6301 where the package was compiled for another model."""
    definition = package.definition
    shape, attention = definition["shape"], definition.get("attention")
    numbers = layer_numbers(definition)
    if numbers != list(range(len(layers))):
        raise _other(f"the model has {len(layers)} layers, the package {len(numbers)}")
    _check_rank(definition, decoder)
    learned = attention is not None and attention["learnedSinks"]
    expected = {
        "query heads": shape["queryHeads"],
        "KV heads": shape["kvHeads"],
        "elements a head": shape["headDim"],
        "a scale of scores": default_scale(definition),
        "a soft cap of scores": 0.0 if attention is None else attention["softCap"],
        "learned sinks": learned,
    }
    for number, (facts, layer) in enumerate(zip(layers, definition["layers"], strict=True)):
        found = {
            "query heads": facts.query_heads,
            "KV heads": facts.kv_heads,
            "elements a head": facts.head_dim,
            "a scale of scores": facts.scale,
            "a soft cap of scores": facts.soft_cap,
            "learned sinks": facts.sinks is not None,
            "a window": facts.window,
        }
        for name, wanted in {**expected, "a window": layer["modelWindow"]}.items():
            if not _equal(found[name], wanted):
                raise _other(
                    f"layer {number} of the model has {_said(name, found[name])}, the package "
                    f"{_said(name, wanted)}"
                )
    _check_rope(package, decoder)


def _check_rank(definition: Definition, decoder: nn.Module) -> None:
    """Whether the model holds the part that the package is for: all, or the heads of one rank."""
    wanted = definition.get("tensorParallel")
    shard = getattr(decoder, "_moa_shard", None)
    found = None if shard is None else shard.tensor_parallel
    if found == wanted:
        return
    if wanted is None:
        raise _other("the model is divided over ranks, the package is for a whole one")
    package = f"rank {wanted['rank']} of {wanted['ranks']}"
    if found is None:
        raise problem(
            "modelPackage",
            f"the package is that of {package}, and the model is whole",
            "on each rank: moa_compile.attach_tensor_parallel(model, DIR), with the folder that "
            "holds rank0, rank1, ...",
        )
    own = f"rank {found['rank']} of {found['ranks']}"
    how = ", with other heads" if own == package else f", the package is for {package}"
    raise _other(f"the model is divided for {own}{how}")


def _check_rope(package: Package, decoder: nn.Module) -> None:
    """The package's frequencies against the model's, where both have one kind for all layers.

    Keys come rotated by the model, so text would be right; but the plan is another model's."""
    ropes = package.definition.get("ropes", [])
    rotary = getattr(decoder, "rotary_emb", None)
    own = getattr(rotary, "inv_freq", None)
    if len(ropes) != 1 or not isinstance(own, torch.Tensor):
        return
    if ropes[0]["scaling"]["type"] in ("dynamic", "longrope"):
        return
    wanted = torch.tensor(rope_frequencies(ropes[0], 1).inverse)
    found = own.detach().float().cpu()
    # `model.to(torch.bfloat16)` rounds them, too: to 8 bits.
    if found.shape != wanted.shape or not torch.allclose(found, wanted, rtol=2**-7, atol=0):
        raise _other(
            f"the RoPE of the model has other frequencies than the package's, of theta "
            f"{ropes[0]['theta']}"
        )


def _equal(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-6)


def _said(name: str, value: float | None) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if value is None or (value == 0 and name == "a soft cap of scores"):
        return name.replace("a ", "no ", 1)
    return f"{name} of {value:g}" if name.startswith("a ") else f"{value} {name}"


def _other(message: str) -> MoaError:
    return problem("modelPackage", f"the package is for another model: {message}")
