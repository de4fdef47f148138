"""The one function of this process: it gets ready before Pulsar subscribes, not when the first message is here.

From the moment an instance subscribes rooms are its own, and their messages wait for whatever it still has to import,
to connect, to make: a second on a busy machine, each time an instance comes back. Pulsar's Python instance makes the
input's serializer right before it subscribes, and by then it has its client and its config. So there everything is
made: imports on a thread that stands behind whoever works (a twin has the work of both just now), then the loop, and
the handler's connections. If Pulsar ever does this otherwise, all is made at the first message.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pulsar

from chat_functions import logs, metrics
from chat_functions.nudge import Nudge
from pulsar_data import half_open
from pulsar_data.traces import unseen

if TYPE_CHECKING:
    from chat_functions.batching import Loop

HANDLERS = {
    "ChatRouter": "chat_functions.router",
    "MessageStore": "chat_functions.store",
    "Archive": "chat_functions.archive",
    "SearchIndex": "chat_functions.search.indexer",
}
"""Where the handler of each function class is; it has the same name."""
READY_WITHIN = 10.0
"""Seconds that subscribing waits for Redis, Cassandra and the broker. Later it subscribes all the same."""
MODEST = 10
"""How nice the imports are to others: they get a tenth of what a working process gets, where both want a core."""


class Instance:
    """Made once in a process. Nothing of it may be called from two threads at once; Pulsar has one for all this."""

    _here: ClassVar[Instance | None] = None

    def __init__(self) -> None:
        self._loop: Loop | None = None

    @classmethod
    def of_this_process(cls) -> Instance:
        """The only one."""
        if cls._here is None:
            cls._here = cls()
        return cls._here

    def get_ready(self, python_instance: Any) -> None:
        """Before subscribing; `python_instance` is Pulsar's. Returns when the first message could be worked."""
        if self._loop is not None or not hasattr(python_instance, "pulsar_client"):
            return
        details = python_instance.instance_config.function_details
        config = json.loads(details.userConfig) if details.userConfig else {}
        number = str(python_instance.instance_config.instance_id)
        function = details.className.rpartition(".")[2]
        loop = self._start(function, python_instance.pulsar_client, config, details.name, number)
        if not loop.ready(READY_WITHIN):
            logs.warning("not_ready", seconds=READY_WITHIN)  # subscribing all the same
        metrics.show(loop.look, details.name, number)
        Nudge(python_instance.consumers, len(details.source.inputSpecs), loop.held).start()

    def submit(self, function: str, context: pulsar.Context) -> None:
        """A message, by its context. Blocks while too much is in flight."""
        loop = self._loop
        if loop is None:
            name, number = context.get_function_name(), context.get_instance_id()
            loop = self._start(function, context.get_pulsar_client(), context.get_user_config_map(), name, number)
            metrics.show(loop.look, name, number)
        loop.submit(context)

    def _start(self, function: str, client: pulsar.Client, config: dict[str, Any], name: str, number: str) -> Loop:
        logs.configure()
        half_open.bound_ours()
        importing = threading.Thread(target=_import_modestly, args=(HANDLERS[function],), name="imports")
        importing.start()
        importing.join()
        from chat_functions.batching import Loop  # not before: these are what is slow
        from chat_functions.settings import Settings
        from chat_functions.traces import traces

        handler = getattr(importlib.import_module(HANDLERS[function]), function)
        settings = Settings.read(config, os.environ)
        self._loop = Loop(name, handler, client, settings, traces(function, settings.traces, name, number))
        self._loop.start()
        return self._loop


def _import_modestly(name: str) -> None:
    """Import on this thread, at a priority lowered for good: Linux has one for each thread, and gives none back."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), MODEST)
    try:
        with unseen():
            importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  it is raised again
        logs.failure("import_failed", error)  # again, for Pulsar to see, where it is imported next
