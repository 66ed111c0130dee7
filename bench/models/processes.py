"""Points in processes of their own, each with a limit of time."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from . import ROOT
from .points import Point
from .settings import Settings

_LAST_LINES: Final = 3

# A process, and where its output goes.
Started = tuple["subprocess.Popen[str]", Path]


class Workers:
    """Runs points one after the other. The process of the next one is started ahead, so that it
    imports torch while the GPU is busy with this one."""

    def __init__(self, settings: Settings, scratch: Path, environment: dict[str, str]) -> None:
        self._settings, self._scratch = settings, scratch
        self._environment = {**os.environ, **environment}
        self._next: Started | None = None

    def run(self, point: Point, seconds: float, is_last: bool) -> dict[str, Any]:
        """`{"row": ..., "facts": ...}` of a point; without facts where its process ended early."""
        process, log = self._next or self._start()
        result = self._scratch / "result.json"
        result.unlink(missing_ok=True)
        request = {
            "point": asdict(point),
            "settings": asdict(self._settings),
            "result": str(result),
        }
        self._next = None if is_last else self._start()
        try:
            process.communicate(json.dumps(request) + "\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            return _failed(point, f"it took longer than {seconds:.0f} s")
        finally:
            end(process)
        if not result.exists():
            lines = log.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:]
            said = " | ".join(lines)[-300:]
            return _failed(point, f"its process ended with {process.returncode}: {said}")
        found: dict[str, Any] = json.loads(result.read_text())
        return found

    def close(self) -> None:
        """Ends the process that was started ahead."""
        if self._next is not None:
            end(self._next[0])

    def _start(self) -> "Started":
        descriptor, name = tempfile.mkstemp(suffix=".log", dir=self._scratch)
        with os.fdopen(descriptor, "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.models.worker"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                # torch.compile starts processes of its own, which end with it.
                start_new_session=True,
            )
        return process, Path(name)


def end(process: "subprocess.Popen[str]") -> None:
    """Ends a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failed(point: Point, reason: str) -> dict[str, Any]:
    return {"row": {"id": point.id, **asdict(point), "error": reason}}
