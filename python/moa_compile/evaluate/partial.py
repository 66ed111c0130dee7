"""What a run has measured, in a file, so that one that was stopped goes on."""

import json
import os
from dataclasses import dataclass, field
from typing import Any

from ..search.codes import MoaError
from ..search.tensorfile import replacing

# Rows of an answer, by the name of their list.
Rows = dict[str, list[dict[str, Any]]]


@dataclass
class Partial:
    """What a run has measured, in a file. fingerprint: of all that it depends on."""

    path: str
    fingerprint: dict[str, Any]
    steps: dict[str, Rows] = field(default_factory=dict)

    def load(self) -> None:
        """Reads the file if there is one. Raises MOA7406 for one of another run."""
        if not os.path.exists(self.path):
            return
        try:
            with open(self.path, encoding="utf-8") as file:
                state = json.load(file)
            fingerprint, steps = state["fingerprint"], state["steps"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._error(f"it cannot be read: {error}") from error
        if fingerprint != self.fingerprint:
            raise self._error("it is of another request, model or texts")
        self.steps = steps

    def add(self, step: str, rows: Rows) -> None:
        self.steps[step] = rows
        with replacing(self.path) as file:
            state = {"fingerprint": self.fingerprint, "steps": self.steps}
            file.write(json.dumps(state).encode())

    def remove(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)

    def _error(self, message: str) -> MoaError:
        help = "--restart begins anew and overwrites it; or give another --output"
        return MoaError("MOA7406", f"{self.path}: {message}", help)
