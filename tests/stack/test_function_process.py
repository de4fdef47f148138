"""A function instance as the local stack starts it."""

from __future__ import annotations

from chattifier.function_process import patient


def test_an_instance_is_patient_with_a_worker_that_stands_still() -> None:
    """The worker's interval of a second is raised, wherever it stands; everything else stays."""
    argv = ["main.py", "--expected_healthcheck_interval", "1", "--cluster_name", "c"]
    assert patient(argv) == ["main.py", "--expected_healthcheck_interval", "60", "--cluster_name", "c"]
    assert patient(["main.py", "--cluster_name", "c"]) == ["main.py", "--cluster_name", "c"]
