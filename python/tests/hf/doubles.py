"""Stand-ins for a CUDA graph of a step, where there is no GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moa_compile.hf.step_graph import EagerStep


class Double(EagerStep):
    """Runs the model anew over the same buffers and counts steps. Its logits lie in memory of its
    own, which the next step overwrites."""

    made: list["Double"] = []

    def __init__(self, session, run) -> None:
        super().__init__(session, run)
        self.session, self.steps = session, 0
        self.logits: torch.Tensor | None = None
        Double.made.append(self)

    def run(self, cache):
        self.steps += 1
        logits = super().run(cache)
        if self.logits is None:
            self.logits = torch.empty_like(logits)
        return self.logits.copy_(logits)


class Reading(Double):
    """Likewise, and notes what a GPU would be waited for in a step."""

    waits: list[str] = []

    def run(self, cache):
        with _Waits() as noted:
            logits = super().run(cache)
        Reading.waits += noted.names
        return logits


class _Waits(TorchDispatchMode):
    """Notes operators whose results the host reads, or whose sizes depend on what tensors hold."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
        if tags & set(operator.tags) and not _is_index(operator, args):
            self.names.append(str(operator))
        return operator(*args, **(kwargs or {}))


def _is_index(operator, args) -> bool:
    """Whether an index has numbers alone: only masks have sizes that depend on what they hold."""
    masks = (torch.bool, torch.uint8)
    return operator is torch.ops.aten.index.Tensor and all(
        each is None or each.dtype not in masks for each in args[1]
    )
