"""What can go wrong, as one tree. Every message is for a person: what happened, to what, and what to do.

ChattifierError
├── MachineError        this machine lacks something, or a folder cannot be used
├── PortBusy            a port of the stack is taken
├── DownloadError       an artifact could not be fetched, or is not what it should be
├── PartFailed          a part of the stack ended or did not become ready
├── StackError          the stack is not in the state the command needs
├── DeployError         Pulsar refused a namespace, a topic or a function
├── ConfigRefused       a file of settings is broken
├── GitFailed           git could not fetch or read the repository of settings
├── ClusterError        Kubernetes refused something, or this does not run in it
├── DemoFailed          the demo saw something it did not expect
├── ChatFailed          the terminal client cannot go on
└── Refused             the server answered a call with an error; the conversation goes on
"""

from __future__ import annotations

from collections.abc import Sequence

import click


class ChattifierError(click.ClickException):
    """The root. Shown as one line; the command ends with exit code 1."""


class MachineError(ChattifierError):
    """This machine lacks something the stack needs, or a folder cannot be used."""


class PortBusy(ChattifierError):
    """A port of the stack is taken."""


class DownloadError(ChattifierError):
    """An artifact could not be fetched, or is not what it should be."""


class PartFailed(ChattifierError):
    """A part of the stack ended, or did not become ready in time."""


class StackError(ChattifierError):
    """The stack is not in the state that the command needs."""


class DeployError(ChattifierError):
    """Pulsar refused a namespace, a topic or a function."""


class ConfigRefused(ChattifierError):
    """Files of settings are broken. `problems`: the name of each file, and what is wrong with it, on one line."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{file}: {reason}." for file, reason in problems))
        self.problems = problems


class GitFailed(ChattifierError):
    """Git could not fetch or read the repository of settings. Holds no credentials."""


class ClusterError(ChattifierError):
    """Kubernetes refused something, or this process does not run in it."""


class DemoFailed(ChattifierError):
    """The demo saw something that it did not expect."""


class ChatFailed(ChattifierError):
    """The terminal client cannot go on. `status`: of the HTTP answer, if there was one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Refused(ChattifierError):
    """The server answered a call with an error: its stable name is the message."""
