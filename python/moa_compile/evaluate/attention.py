"""A model that attends as a subject does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..hf.attach import attach, detach
from ..layout import layout_session
from ..package import Package, load
from ..search.codes import MoaError
from ..search.effective_mask import Mask, within_model
from ..search.masked import masked_attention
from .request import Subject


@contextmanager
def attending(model: Any, subject: Subject | None, length: int) -> Iterator[None]:
    """In here the model attends as the subject at this length bound; None: as it comes.

    Raises MOA7431 where a package attends in another way than the subject's mask.
    """
    if subject is None:
        yield
        return
    mask = subject.masks[length]
    if subject.package is None:
        with masked_attention(model, mask.windows, mask.sink):
            yield
        return
    package = load(subject.package)
    _require_same(package, subject, length)
    attach(model, package, length_bound=length)
    try:
        yield
    finally:
        detach(model)


def _require_same(package: Package, subject: Subject, length: int) -> None:
    """The package masks as the subject at this length. A window that holds all tokens is as good
    as any longer one."""
    mask = subject.masks[length]
    layout = layout_session(package.definition, 0, length, None)
    if len(layout.layers) != len(mask.windows):
        raise _other(subject, length, f"{len(layout.layers)} layers, not {len(mask.windows)}")
    for layer, windows in zip(layout.layers, mask.windows, strict=True):
        own = package.definition["layers"][layer.layer_class.plan_class]["modelWindow"]
        sink = layer.layer_class.sink
        for head, (has, window) in enumerate(
            zip(layer.layer_class.windows(length), windows, strict=True)
        ):
            asked = within_model(Mask(mask.sink, window), own)
            is_whole = min(has, asked.window) >= length
            if not is_whole and (sink, has) != (asked.sink, asked.window):
                what = f"a window of {has} behind {sink} sinks in head {head} of layer"
                masked = f"the mask has {asked.window} behind {asked.sink}"
                raise _other(subject, length, f"{what} {layer.layer}; {masked}")


def _other(subject: Subject, length: int, what: str) -> MoaError:
    message = f"at {length} tokens {subject.package}, of {subject.id}, has {what}"
    return MoaError("MOA7431", message, "give the plan that the package was compiled from")
