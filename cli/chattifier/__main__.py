"""Lets `python -m chattifier` do what the `chattifier` command does."""

from chattifier.main import cli

cli(prog_name="chattifier")
