"""One point in a process of its own. It is started ahead: everything is imported when the point
comes.

    python3 -m bench.models.worker

Reads one line from standard input: `{"point": ..., "settings": ..., "result": file}`. The file gets
`{"row": ..., "facts": ...}`."""

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from bench.lib.torch_timing import first_line, write_json

from .kinds import KINDS
from .points import Point
from .settings import NotMeasured, Settings, case_of


def measure(point: Point, settings: Settings) -> dict[str, Any]:
    """The point's row. One that fails, or is left out, says why."""
    row: dict[str, Any] = {"id": point.id, **vars(point)}
    start = time.perf_counter()
    try:
        case = case_of(point, settings)
        row |= {"lengthBound": case.tokens, "rows": case.rows}
        row |= KINDS[point.kind][point.implementation](case)
    except NotMeasured as reason:
        row["skipped"] = str(reason)
    except Exception as error:  # noqa: BLE001 - any failure is the point's result
        row["error"] = first_line(error)
    row["wallSeconds"] = round(time.perf_counter() - start, 2)
    return row


def facts_of(settings: Settings) -> dict[str, Any]:
    """What a result says of the machine."""
    facts = {"torch": torch.__version__, "transformers": transformers.__version__}
    if settings.is_gpu:
        device = torch.cuda.get_device_name()
        return {"device": device, "cudnn": torch.backends.cudnn.version(), **facts}
    return {"device": f"cpu, emulator ({platform.machine()})", **facts}


def main() -> None:
    # transformers imports these when they are first named.
    _ = transformers.LlamaForCausalLM, transformers.StaticCache
    line = sys.stdin.readline()
    if not line:
        return
    request = json.loads(line)
    settings = Settings(**request["settings"])
    torch.manual_seed(0)
    row = measure(Point(**request["point"]), settings)
    facts = facts_of(settings)
    write_json(str(Path(request["result"])), {"row": row, "facts": facts})


if __name__ == "__main__":
    main()
