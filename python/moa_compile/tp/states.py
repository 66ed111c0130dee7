"""State dicts of a divided model: none is made, and one of whole weights can be loaded.

A state dict of one rank's part looks like that of a smaller model: nothing in the file says which
part it is. To make it whole all ranks would have to take part, and `model.save_pretrained` is often
called on one of them. So it is refused, with `save_pretrained`, which asks for it.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from .layers import Part
from .problems import NotCopied, problem


def divide_states(parts: Iterable[Part], undo: ExitStack) -> None:
    """Puts hooks into all modules of which this rank has parts."""
    by_module: dict[nn.Module, list[Part]] = {}
    for part in parts:
        by_module.setdefault(part.module, []).append(part)
    for module, own in by_module.items():
        # torch has no types for these.
        hooked: Any = module
        state = _PartState(own)
        undo.callback(hooked.register_state_dict_pre_hook(state.refuse).remove)
        undo.callback(hooked.register_load_state_dict_pre_hook(state.take).remove)


class _PartState(NotCopied):
    """Hooks of a module. parts: of its parameters."""

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts

    def refuse(self, module: nn.Module, prefix: str, keep_vars: bool) -> None:
        """Before a state dict would get one rank's part."""
        message = f"{self._parts[0].path} has one rank's part of its weights, and cannot be saved"
        raise problem("rankState", message)

    def take(self, module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        """Leaves of whole weights what this rank keeps, before they are loaded. Raises MOA6325 for
        others: a part might be another rank's."""
        for part in self._parts:
            key = prefix + part.name
            whole = state.pop(key, None)
            if whole is None or part.cut is None:
                continue
            shape = part.cut.shape(module.get_parameter(part.name).shape, True)
            if not isinstance(whole, torch.Tensor) or list(whole.shape) != shape:
                found = list(getattr(whole, "shape", []))
                raise problem("rankState", f"{key} is {found}; the whole model has {shape}")
            state[key] = part.cut.of_tensor(whole)
