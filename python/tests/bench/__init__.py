"""Tests of the benchmarks that are in Python: bench/ lies beside python/ in a checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
