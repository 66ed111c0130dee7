"""`python -m moa_compile COMMAND`: all that `--help` lists."""

import sys

from .calibrate.cli import COMMAND as CALIBRATE
from .chat.command import COMMAND as CHAT
from .command_line.run import run_commands
from .evaluate.command import COMMAND as EVALUATE
from .measure.command import COMMAND as MEASURE
from .search.cli import COMMANDS as SEARCH

COMMANDS = (*SEARCH, CALIBRATE, EVALUATE, CHAT, MEASURE)


def main() -> int:
    return run_commands(COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
