"""`python -m moa_compile check|profile|validate`."""

import sys

from .search.cli import main

if __name__ == "__main__":
    sys.exit(main())
