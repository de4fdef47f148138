"""What can go wrong with a measurement, in words for people."""

from __future__ import annotations


class LoadFailed(Exception):
    """A figure could not be taken, or what came out is not what must come out."""
