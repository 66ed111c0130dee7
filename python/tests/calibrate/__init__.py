"""Calibration: questions that a tiny random model answers, or a stand-in that knows the answers."""
