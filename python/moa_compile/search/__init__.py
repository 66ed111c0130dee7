"""The part of moa-compile's plan search that runs the model. Files and words: docs/search-formats.md.

Nothing is imported here, so that `python -m moa_compile check` answers where torch is missing.
"""
