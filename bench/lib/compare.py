"""Peers against attention written out."""
import sys

import torch


def check_device():
    """The GPU, and the type that peers are measured in; without one the CPU, and a type that shows a wrong formula the better."""
    torch.manual_seed(1)
    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)


def compare(name, actual, expected):
    """Ends the program where `actual` is too far from `expected`, which is float32."""
    error = (actual.float() - expected).norm() / expected.norm()
    limit = 1e-5 if actual.dtype is torch.float32 else 1e-2
    print(f"{name}: relative error {error:.1e}", flush=True)
    if not error < limit:
        sys.exit(f"{name}: more than {limit}")
