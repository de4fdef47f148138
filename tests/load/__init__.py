"""Measurements: how fast, how late, how large. `python -m tests.load` runs them and writes docs/performance.md."""
