"""A stand-in for a CUDA graph of a step, where there is no GPU."""

import torch

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
