"""A command of `python -m moa_compile`."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

Show = Callable[[int, int, str], None]
"""Is told of progress: what is done, of how many, and what is being done."""


@dataclass(frozen=True)
class Command:
    name: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Show], int]
    """Its exit status."""
    partial: Callable[[str], str] | None = None
    """From --output to the file that keeps what a run that was stopped had done."""
    memory_help: str = "try shorter lengths, or --dtype bfloat16"
    needs_packages: bool = True


def partial_path(output: str) -> str:
    """The file that keeps what a run that was stopped had done."""
    return f"{output}.partial"
