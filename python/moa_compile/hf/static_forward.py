"""A forward of the whole model whose inputs and outputs lie in fixed memory, so that it can be
captured once and replayed."""

import inspect
from collections.abc import Callable
from typing import Any, Final

import torch

from .cache import MoaCache
from .forward import Attends, Forwards
from .problems import problem

# Entries of a model's output that a replay gives; another one would be of an earlier step.
_GIVEN: Final = {"logits", "cache", "past_key_values"}


class ModelForward:
    """The forward of an attached model with a head, as its class has it.

    names: of its parameters, in order.
    """

    def __init__(self, call: Callable[..., Any], forwards: Forwards) -> None:
        self.call, self.forwards = call, forwards
        self.names = list(inspect.signature(call).parameters)
        self.cache_name = next(
            (name for name in ("cache", "past_key_values") if name in self.names), ""
        )

    @property
    def can_be_static(self) -> bool:
        """Whether it takes positions and which logits to make, as models of this kind do."""
        wanted = ("input_ids", "attention_mask", "position_ids", "logits_to_keep")
        return bool(self.cache_name) and all(name in self.names for name in wanted)


class StaticForward:
    """ids, positions: `[rows, columns]` int64; begins: `[columns]`, cache positions of transformers
    4. To be written before each run. keep: as `logits_to_keep` of the model.
    other: the output of a run that gave more than logits, which no replay can give; None.
    """

    def __init__(
        self,
        model: ModelForward,
        rows: int,
        columns: int,
        keep: int | torch.Tensor,
        device: torch.device,
    ) -> None:
        self._model, self._keep = model, keep
        # Tensors of inference mode could not be written outside of it.
        with torch.inference_mode(False):
            self.ids = torch.zeros(rows, columns, dtype=torch.long, device=device)
            self.positions = torch.zeros_like(self.ids)
            self.begins = torch.zeros(columns, dtype=torch.long, device=device)
        self.other: Any = None
        self._type: Callable[..., Any] = dict
        self._cache_entry = model.cache_name

    def run(self, step: Attends, cache: MoaCache) -> torch.Tensor:
        """Runs the model. Returns logits, `[rows, kept, vocabulary]`.

        Raises MOA6311 where it leaves layers out.
        """
        model = self._model
        inputs: dict[str, Any] = {
            "input_ids": self.ids,
            # All columns are tokens. Sequences of unequal lengths have their own positions.
            "attention_mask": None,
            "position_ids": self.positions,
            model.cache_name: cache,
            "use_cache": True,
            "return_dict": True,
            "logits_to_keep": self._keep,
        }
        if "cache_position" in model.names:
            inputs["cache_position"] = self.begins
        step.layers = 0
        with model.forwards.attending(step):
            output = model.call(**inputs)
        if step.layers != model.forwards.layers:
            message = f"the forward went through {step.layers} of {model.forwards.layers} layers"
            raise problem("unsupportedModel", message)
        self.other = None if _GIVEN.issuperset(output.keys()) else output
        self._type = type(output)
        self._cache_entry = next(
            (name for name, value in output.items() if value is cache), model.cache_name
        )
        logits: torch.Tensor = output["logits"]
        return logits

    def output(self, logits: torch.Tensor, cache: MoaCache) -> Any:
        """An output of the model's type."""
        return self._type(**{"logits": logits, self._cache_entry: cache})
