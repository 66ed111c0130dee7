"""Samples for the search: questions about long texts, with the answers of the dense model itself.
docs/calibrate.md says what they are for.
"""
