"""Runs the calls of a test through moa_compile: argument 1 is a file that describes them
(session.test.ts)."""

import json
import sys

import torch

import moa_compile

task = json.load(open(sys.argv[1]))
package = moa_compile.load(task["package"])
emulator = moa_compile.Emulator(multiprocessors=task["multiprocessors"])
shape = package.definition["shape"]
inputs, at = torch.frombuffer(bytearray(open(task["inputs"], "rb").read()), dtype=torch.bfloat16), 0
session = package.session(device=emulator, slots_free=True, **task["options"])


def tensors(rows: int) -> dict[str, torch.Tensor]:
    """q, k and v of the inputs, and room for results."""
    global at
    made = {}
    for name, heads in (("q", "queryHeads"), ("k", "kvHeads"), ("v", "kvHeads")):
        size = rows * shape[heads] * shape["headDim"]
        made[name] = inputs[at : at + size].clone().view(rows, shape[heads], shape["headDim"])
        at += size
    made["out"] = torch.zeros(rows, shape["queryHeads"], shape["headDim"], dtype=torch.bfloat16)
    made["lse"] = torch.zeros(rows, shape["queryHeads"])
    return made


def write(file, tensor: torch.Tensor) -> None:
    file.write(bytes(tensor.contiguous().view(torch.uint8).flatten().tolist()))


facts = []
with open(task["outputs"], "wb") as outputs:
    for call in task["calls"]:
        arguments = {key: value for key, value in call.items() if key not in ("call", "rows", "slot", "length")}
        own = [call[key] for key in ("slot", "length") if key in call]
        refusal, result = None, None
        layers = [tensors(call["rows"]) for _ in range(shape["layers"])] if "rows" in call else [None]
        try:
            for layer, given in enumerate(layers):
                if given is None:
                    result = getattr(session, call["call"])(*own, **arguments)
                else:
                    getattr(session, call["call"])(layer, **given, **arguments)
        except moa_compile.MoaError as error:
            refusal = str(error).split("\n")[0]
        for given in layers:
            for name in ("out", "lse", "q", "k") if given is not None else ():
                write(outputs, given[name])
        usage = session.usage()
        facts.append(
            {
                "result": result,
                "refusal": refusal,
                "lengths": [session.lengths(layer) for layer in range(shape["layers"])],
                "bounds": session.length_bounds(),
                "windows": session.windows(0, 1),
                "usage": [usage.pages, usage.held, usage.shared, usage.free],
                "pagesInUse": session.pages_in_use(0),
            }
        )
memory = session.memory
print(json.dumps({"facts": facts, "memory": [memory.total, memory.cache, memory.tables, memory.workspace, memory.dense]}))
