"""Traces: handed on by every part, and recorded where an exporter is configured."""
