"""`python -m moa_compile check|profile|validate`."""

import sys

from .command_line.run import run_commands
from .search.cli import COMMANDS


def main() -> int:
    return run_commands(COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
