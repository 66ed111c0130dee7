"""Runs a command line: from arguments to an exit status, and never to a traceback."""

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import MoaError as PackageError
from ..search import environment
from ..search.codes import MACHINE, USER, MoaError
from .bar import Bar
from .command import Command
from .options import Parser
from .signals import Interrupted

_INTERRUPTED = 128
"""Plus the number of the signal, as shells have it."""


def run_commands(commands: Sequence[Command], arguments: Sequence[str] | None = None) -> int:
    try:
        options = _parser(commands).parse_args(arguments)
        command = next(command for command in commands if command.name == options.command)
        if command.needs_packages:
            environment.require_packages()
            return _run(command, options)
        return command.run(options, lambda done, of, text: None)
    except MoaError as error:
        print(error, file=sys.stderr)
        return error.status
    except PackageError as error:
        print(f"error {error}", file=sys.stderr)
        return USER
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED + 2
    except Exception as error:  # A user must never meet a traceback, unless they ask for it.
        if os.environ.get("MOA_DEBUG"):
            raise
        print(_unknown(error), file=sys.stderr)
        return MACHINE


def _parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    description = (
        "The part of moa-compile that runs models: docs/search-formats.md, docs/model-commands.md."
    )
    parser = Parser(prog="python -m moa_compile", description=description)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in commands:
        command.add_options(subparsers.add_parser(command.name, help=command.help))
    return parser


def _run(command: Command, options: argparse.Namespace) -> int:
    import torch

    try:
        with Bar(options.quiet) as bar:
            return command.run(options, bar.show)
    except Interrupted as stop:
        where = "" if command.partial is None else f" where {command.partial(options.output)} is"
        print(f"interrupted: the same command goes on{where}", file=sys.stderr)
        return _INTERRUPTED + stop.number
    except (torch.OutOfMemoryError, MemoryError) as error:
        print(_out_of_memory(error, command.memory_help), file=sys.stderr)
        return MACHINE
    except RuntimeError as error:
        # What the allocator of the CPU says.
        if "can't allocate memory" not in str(error) and "not enough memory" not in str(error):
            raise
        print(_out_of_memory(error, command.memory_help), file=sys.stderr)
        return MACHINE


def _out_of_memory(error: BaseException, help: str) -> MoaError:
    reason = str(error).splitlines()[0][:200] if str(error) else "the allocator gave up"
    return MoaError("MOA7408", f"out of memory: {reason}", help)


def _unknown(error: Exception) -> MoaError:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = ""
    if place is not None:
        name = os.path.basename(place.tb_frame.f_code.co_filename)
        where = f" ({name}:{place.tb_lineno})"
    message = f"{type(error).__name__}: {str(error)[:300] or 'no message'}{where}"
    help = (
        "with MOA_DEBUG=1 the place in Python is shown; check that torch and transformers are whole"
        " and fit each other"
    )
    return MoaError("MOA7413", message, help)
