"""`attach`: an unedited model of transformers runs on a compiled package."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..package import DeviceOption, Package, load
from ..session_options import Table, check_integer
from .cache import MoaCache
from .check_model import check_layers, check_package, check_placement
from .decoding import Decoding
from .facts import LayerFacts, model_facts
from .forward import Forwards
from .generation import Generations
from .interface import NAME, register
from .problems import NotCopied, problem
from .sessions import SessionPool
from .static_forward import ModelForward


class Attachment(NotCopied):
    """What `attach` did to a model, and how it is taken back. Lies in `model._moa_attachment`."""

    def __init__(
        self,
        model: Any,
        package: Package,
        forwards: Forwards,
        before: dict[str, str],
        model_forward: ModelForward,
        decoding: Decoding | None,
    ) -> None:
        self.package, self.forwards, self.decoding = package, forwards, decoding
        self.model_forward = model_forward
        self._before = before
        rules = package.definition["rules"]
        is_elastic = any(rule["numerator"] != 0 for rule in rules)
        if hasattr(model, "_prepare_cache_for_generation"):
            Generations(forwards, is_elastic).put_into(model)
            if decoding is not None:
                decoding.put_into(model)

    def remove(self, model: Any) -> None:
        """Leaves the model as it was before."""
        self.forwards.remove()
        if self.decoding is not None:
            self.decoding.remove()
        Generations.take_from(model)
        model.set_attn_implementation(self._before)
        self.forwards.pool.close()


def attach(
    model: Any,
    directory: str | os.PathLike[str] | Package,
    *,
    length_bound: int | None = None,
    device: DeviceOption = None,
    cache_scales: tuple[Table, Table] | None = None,
    capture: bool = True,
) -> None:
    """Lets a causal decoder of transformers attend with the kernels of a compiled package. All that
    calls the model stays as it is: `generate`, pipelines, `model(...)`.

    directory: the package, which was compiled with the model's config. length_bound: the most
    tokens of a sequence, from which elastic spans follow; by default what each generation asks for,
    prompt and new tokens. device: an `Emulator` with options, for a model on the CPU; by default
    where the model is. cache_scales: as of `Package.session`.
    capture: on a GPU, decode steps of the whole model are replayed from CUDA graphs.

    Raises MOA6301 where the package is for another model, MOA6302 where the model lies on several
    devices or has another element type, MOA6310 where it is attached already, MOA6311 where it is
    no causal decoder of transformers, MOA6201 and MOA6204 as `load`, MOA6203, MOA6205 to MOA6207
    where the package has no kernels for the device. The model is then as before.
    """
    if attachment_of(model) is not None:
        raise problem("attached", "the model is attached already")
    if not hasattr(model, "set_attn_implementation"):
        message = f"{type(model).__name__} has no attention that can be replaced"
        raise problem("unsupportedModel", message)
    if length_bound is not None:
        length_bound = check_integer("length_bound", length_bound, 1, 2**27, "2^27", " tokens")
    package = directory if isinstance(directory, Package) else load(directory)
    on, dtype = check_placement(model, package)
    before = _implementations(model)
    decoder = decoder_of(model)
    try:
        layers = _facts(model, decoder)
        check_layers(layers, on, dtype)
        check_package(package, layers, decoder)
        package.check_device(on if device is None else device)
        pool = SessionPool(
            package, on if device is None else device, dtype, _sinks(layers), cache_scales
        )
        forwards = Forwards(decoder, layers, pool, length_bound)
    except BaseException:
        model.set_attn_implementation(before)
        raise
    forward = ModelForward(model.forward, forwards)
    decoding = Decoding(model, decoder, forwards, forward) if capture else None
    model._moa_attachment = Attachment(model, package, forwards, before, forward, decoding)


def detach(model: Any) -> None:
    """Makes a model dense again, and frees all memory of sessions, those of living caches too.
    Raises MOA6309 where it is not attached."""
    attachment = attached(model)
    del model._moa_attachment
    attachment.remove(model)


def new_cache(model: Any, *, batch_size: int, length_bound: int | None = None) -> MoaCache:
    """A cache for `model(..., past_key_values=cache)`, or for several calls of `generate`.

    batch_size: the most rows. length_bound: the most tokens of a row, padding not counted; windows
    follow from it; that of `attach` by default. Raises MOA6106, MOA6308 without a bound, MOA6309.
    """
    forwards = attached(model).forwards
    bound = forwards.length_bound if length_bound is None else length_bound
    if bound is None:
        raise problem("overBound", "the cache has no length bound", "pass length_bound")
    rows = check_integer("batch_size", batch_size, 1, 65536, "65536")
    bound = check_integer("length_bound", bound, 1, 2**27, "2^27", " tokens")
    return forwards.new_cache(bound, rows)


def release_memory(model: Any) -> None:
    """Frees sessions that are kept for further generations. Raises MOA6309."""
    attached(model).forwards.pool.release()


def attachment_of(model: Any) -> Attachment | None:
    """What `attach` did to a model; None where it is not attached."""
    attachment = getattr(model, "_moa_attachment", None)
    return attachment if isinstance(attachment, Attachment) else None


def attached(model: Any) -> Attachment:
    """Likewise. Raises MOA6309 where it is not attached."""
    attachment = attachment_of(model)
    if attachment is None:
        raise problem("notAttached", f"this {type(model).__name__} is not attached")
    return attachment


def _facts(model: Any, decoder: nn.Module) -> list[LayerFacts]:
    """Gives the model our attention, and asks its layers how they attend."""
    register()
    name = type(model).__name__
    try:
        model.set_attn_implementation(NAME)
    except ValueError as error:
        message = f"the attention of {name} cannot be replaced: {error}"
        raise problem("unsupportedModel", message) from error
    if model.config.get_text_config()._attn_implementation != NAME:
        message = f"{name} does not use the attention interface of transformers"
        raise problem("unsupportedModel", message)
    return model_facts(decoder)


def decoder_of(model: Any) -> nn.Module:
    """The module that makes masks and caches: the language model's."""
    found = model.get_decoder() if hasattr(model, "get_decoder") else None
    decoder = model.base_model if found is None or found is model else found
    assert isinstance(decoder, nn.Module), "internal error: a decoder is a module"
    return decoder


def _implementations(model: Any) -> dict[str, str]:
    """Names of attentions by sub-config; "" is the whole model's."""
    parts = {"": model.config._attn_implementation}
    for key in getattr(model.config, "sub_configs", {}):
        part = getattr(model.config, key, None)
        if part is not None:
            parts[key] = part._attn_implementation
    return parts


def _sinks(layers: Sequence[LayerFacts]) -> torch.Tensor | None:
    """Logits of learned sinks `[layer][query head]`."""
    logits = [facts.sinks.detach().float().cpu() for facts in layers if facts.sinks is not None]
    return torch.stack(logits) if logits else None
