"""Figures of whole models on one GPU: ours and the peers, with random weights. README.md has the
command."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# This checkout's moa_compile, not an installed one.
sys.path.insert(0, str(ROOT / "python"))
