"""Models of Hugging Face on packages. Skipped where there is no transformers, or nothing to compile
packages with."""

import importlib.util
import unittest

from ..runtime.packages import obstacle

if importlib.util.find_spec("transformers") is None:
    raise unittest.SkipTest("there is no transformers")
_reason = obstacle()
if _reason is not None:
    raise unittest.SkipTest(_reason)
