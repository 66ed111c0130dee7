"""The partial file of a profile, from which a run that was stopped goes on to the same bytes."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch

from .codes import MoaError
from .tensorfile import write_tensors

_FORMAT = {"format": "moa-profile-partial", "version": "1"}


@dataclass
class Progress:
    """Samples counted so far at a length; the influence of a finished one is a mean in float32, of the current one a sum in float64."""

    length: int
    samples: int = 0
    answer_tokens: int = 0
    loss: float = 0.0
    """Sum over the samples."""
    done: bool = False


@dataclass
class Partial:
    path: str
    fingerprint: dict
    lengths: list[Progress] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    """`influence.<N>` of every length in `lengths`."""
    guard: Callable[[], None] = lambda: None
    """Called before a result is written; raises if it is not of the model in the fingerprint."""
    _saved: float = field(default_factory=time.monotonic)
    _took: float = 0.0

    def save(self, at_once: bool = True) -> None:
        """Writes the file; unless `at_once`, not within 10 s of the last time, nor within ten times as long as that took."""
        begin = time.monotonic()
        if not at_once and begin - self._saved < max(10.0, 10 * self._took):
            return
        self.guard()
        state = {"fingerprint": self.fingerprint, "lengths": [asdict(progress) for progress in self.lengths]}
        write_tensors(self.path, self.tensors, {**_FORMAT, "state": json.dumps(state, sort_keys=True)})
        self._saved = time.monotonic()
        self._took = self._saved - begin

    def load(self) -> bool:
        """Reads the file if there is one. Raises MOA7406 if it is not of this run."""
        from safetensors import safe_open

        if not os.path.exists(self.path):
            return False
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                if any(metadata.get(key) != value for key, value in _FORMAT.items()):
                    raise ValueError("another format")
                state = json.loads(metadata["state"])
                same = state["fingerprint"] == json.loads(json.dumps(self.fingerprint))
                if same:
                    self.lengths = [Progress(**facts) for facts in state["lengths"]]
                    self.tensors = {f"influence.{p.length}": file.get_tensor(f"influence.{p.length}") for p in self.lengths}
        except Exception as error:  # Any damage: the reader raises its own types.
            raise self._error(f"{self.path} cannot be read: {error}") from error
        if not same:
            names = [key for key in self.fingerprint if state["fingerprint"].get(key) != json.loads(json.dumps(self.fingerprint[key]))]
            raise self._error(f"{self.path} is of a run with another {' and '.join(names) or 'fingerprint'}")
        return True

    def remove(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)

    def _error(self, message: str) -> MoaError:
        return MoaError("MOA7406", message, "--restart begins anew and overwrites it; or give another --output")
