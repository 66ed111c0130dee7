"""What a captured step depends on besides its inputs: the memory of weights, and what the modules
of a model are at the time."""

from typing import Any, Final

import torch
from torch import nn

# Entries of a module's `__dict__` that are compared by what is in them.
_CONTAINERS: Final = ("_parameters", "_buffers", "_modules")
_HOOKS: Final = ("_forward_hooks", "_forward_pre_hooks")
# Whose hooks hear nothing of a plain step: ours on the decoder, and those that transformers leaves
# in a model that was once asked for hidden states.
_SILENT: Final = ("moa_compile.hf.forward", "transformers.utils.output_capturing")
_VALUES: Final = (bool, int, float, str, type(None))
# Names of a module's `__dict__` that say that others run it: accelerate, torch.compile.
_RUN_BY_OTHERS: Final = ("_hf_hook", "_old_forward", "_orig_mod")


class ModelState:
    """The state of a model when it was looked at.

    obstacle: why its forward cannot be captured; None: nothing known.
    """

    def __init__(self, model: nn.Module, decoder: nn.Module) -> None:
        """model: whose own hooks run around a step. decoder: which has hooks of ours."""
        self._model, self._decoder = model, decoder
        self._modules = list(model.modules())
        self._entries = [_entries(module) for module in self._modules]
        self._tensors: list[tuple[dict[str, Any], str]] = [
            (named, name)
            for module in self._modules
            for named in (module._parameters, module._buffers)
            for name, tensor in named.items()
            if tensor is not None
        ]
        self._places, self._types = self._addresses(), self._dtypes()
        everyone = nn.modules.module
        self._hooks: list[dict[Any, Any]] = [
            everyone._global_forward_hooks,
            everyone._global_forward_pre_hooks,
        ]
        for module in self._modules:
            if module is not model and module is not decoder:
                self._hooks += [getattr(module, name) for name in _HOOKS]
        self.obstacle = self._obstacle()

    def is_plain(self) -> bool:
        """Whether nobody listens to modules in the model, and all weights lie where they lay.
        Asked in each step."""
        # The short answer of nearly all steps first.
        if any(self._hooks) and any(_is_heard(hooks) for hooks in self._hooks):
            return False
        if any(_is_heard(getattr(self._decoder, name)) for name in _HOOKS):
            return False
        return self._addresses() == self._places

    def is_same(self) -> bool:
        """Whether modules and their attributes are what they were. Asked once a generation."""
        modules = list(self._model.modules())
        return (
            len(modules) == len(self._modules)
            and all(a is b for a, b in zip(modules, self._modules, strict=True))
            and all(
                _are_equal(_entries(module), before)
                for module, before in zip(modules, self._entries, strict=True)
            )
            and len(self._tensors) == _tensors_in(modules)
            and self._addresses() == self._places
            and self._dtypes() == self._types
        )

    def _addresses(self) -> list[int]:
        """Of all tensors; none where one of them is missing."""
        try:
            return [named[name].data_ptr() for named, name in self._tensors]
        except (KeyError, AttributeError):
            return []

    def _dtypes(self) -> list[torch.dtype]:
        return [named[name].dtype for named, name in self._tensors]

    def _obstacle(self) -> str | None:
        for module in self._modules:
            inside, name = vars(module), type(module).__name__
            if any(each in inside for each in _RUN_BY_OTHERS):
                return f"{name} is run by hooks of accelerate"
            if "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None):
                return f"{name} is compiled by torch"
            if module is not self._model and _is_replaced(module):
                return f"the forward of a {name} was replaced"
            if type(module).__module__.split(".")[0] == "peft":
                return f"{name} is an adapter, which may be switched"
        rope = getattr(getattr(self._decoder, "rotary_emb", None), "rope_type", None)
        for kind in rope.values() if isinstance(rope, dict) else (rope,):
            if kind in ("dynamic", "longrope"):
                return f"RoPE of type {kind} depends on lengths that the host reads"
        return None


def _is_heard(hooks: dict[Any, Any]) -> bool:
    return any(getattr(hook, "__module__", "") not in _SILENT for hook in hooks.values())


def _is_replaced(module: nn.Module) -> bool:
    """Whether a module has another forward than that of its class. transformers 4 leaves the
    class's own in a module that was once asked for hidden states."""
    own = vars(module).get("forward")
    if own is None:
        return False
    of_class = getattr(own, "__func__", None) is type(module).forward
    return not (of_class and own.__self__ is module)


def _tensors_in(modules: list[nn.Module]) -> int:
    return sum(
        tensor is not None
        for module in modules
        for named in (module._parameters, module._buffers)
        for tensor in named.values()
    )


def _entries(module: nn.Module) -> dict[str, Any]:
    """What a forward in Python may read of a module, but for its tensors and modules."""
    return {
        name: value
        for name, value in vars(module).items()
        if name not in _CONTAINERS and not name.endswith("_hooks")
    }


def _are_equal(now: dict[str, Any], before: dict[str, Any]) -> bool:
    return now.keys() == before.keys() and all(
        value is before[name]
        or (type(value) in _VALUES and type(value) is type(before[name]) and value == before[name])
        for name, value in now.items()
    )
