"""Runs the calls of a test through the loader: argument 1 is a file that describes them."""
import json
import sys

from emulator import Device
from loader import Session

task = json.load(open(sys.argv[1]))
device = Device(task["libraries"], task["multiprocessors"])
session = Session(task["package"], device, task["elementType"], task["slots"], task["lengthBound"])
inputs, at, outputs = open(task["inputs"], "rb").read(), 0, b""
for call in task["calls"]:
    if call["kind"] not in ("prefill", "decode"):
        session.change(call["kind"], call["slot"], call.get("value", 0), call.get("other", 0))
        continue
    layers = []
    for sizes in call["layers"]:
        layers.append({"out": device.allocate(sizes["out"])})
        for name in ("q", "k", "v"):
            layers[-1][name], at = device.upload(inputs[at:at + sizes[name]]), at + sizes[name]
    if call["kind"] == "prefill":
        session.prefill(call["cuSeqlens"], call["holds"], layers)
    else:
        session.decode(layers)
    outputs += b"".join(device.read(tensors["out"], sizes["out"]) for tensors, sizes in zip(layers, call["layers"]))
open(task["outputs"], "wb").write(outputs)
