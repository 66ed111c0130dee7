"""`python -m moa_compile check|profile|validate|calibrate`."""

import sys

from .calibrate.cli import COMMAND as CALIBRATE
from .command_line.run import run_commands
from .search.cli import COMMANDS as SEARCH

COMMANDS = (*SEARCH, CALIBRATE)


def main() -> int:
    return run_commands(COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
