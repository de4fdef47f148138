"""Metrics: what the parts show after real traffic, and what dashboards and alerts make of it."""
