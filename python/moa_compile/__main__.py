"""`python -m moa_compile COMMAND`: all that `--help` lists."""

import sys

from .chat.command import COMMAND as CHAT
from .command_line.run import run_commands
from .evaluate.command import COMMAND as EVALUATE
from .measure.command import COMMAND as MEASURE
from .search.cli import COMMANDS


def main() -> int:
    return run_commands((*COMMANDS, CHAT, EVALUATE, MEASURE))


if __name__ == "__main__":
    sys.exit(main())
