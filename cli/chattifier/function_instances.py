"""The processes of the function instances: children of the Pulsar worker, told apart by their arguments."""

from __future__ import annotations

import json

import psutil

from pulsar_data.topics import SEARCH_INDEX


def instances_of(name: str, parallelism: int) -> int:
    """How many instances a function has where functions have `parallelism`: nobody waits for search-index."""
    return 1 if name == SEARCH_INDEX else parallelism


def instances(pulsar_pid: int) -> dict[tuple[str, int], int]:
    """The pid of each instance, by function name and instance number."""
    found: dict[tuple[str, int], int] = {}
    try:
        children = psutil.Process(pulsar_pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return found
    for child in children:
        key = _instance(child)
        if key is not None:
            found[key] = child.pid
    return found


def _instance(process: psutil.Process) -> tuple[str, int] | None:
    try:
        arguments = process.cmdline()
    except psutil.Error:  # it has just ended
        return None
    if "--function_details" not in arguments or "--instance_id" not in arguments:
        return None
    details = arguments[arguments.index("--function_details") + 1].strip("'")
    return str(json.loads(details)["name"]), int(arguments[arguments.index("--instance_id") + 1])
