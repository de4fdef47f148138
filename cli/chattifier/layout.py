"""Where the files of one stack lie: everything is below one folder, so several stacks live side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chattifier.errors import MachineError


@dataclass(frozen=True)
class Layout:
    """The paths of one stack, all below `root`."""

    root: Path

    @property
    def run_file(self) -> Path:
        """The run state: who supervises, which parts run, on which ports."""
        return self.root / "run.json"

    @property
    def lock_file(self) -> Path:
        """Locked by the supervisor for as long as it lives."""
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        """One log file a part; those of the functions are below `functions/`, as Pulsar writes them."""
        return self.root / "logs"

    def log(self, part: str) -> Path:
        """The log file of a part."""
        return self.logs / f"{part}.log"

    def function_log(self, name: str, instance: int) -> Path:
        """The log file of one instance of a function."""
        return self.logs / "functions" / "chat" / "core" / name / f"{name}-{instance}.log"

    @property
    def signing_keys(self) -> Path:
        """The folder of private keys, `<kid>.pem`."""
        return self.root / "keys" / "signing"

    @property
    def jwks(self) -> Path:
        """The public keys, as a JWKS."""
        return self.root / "keys" / "jwks.json"

    @property
    def service_keys(self) -> Path:
        """The folder of private keys that sign service tokens, `<kid>.pem`."""
        return self.root / "keys" / "service"

    @property
    def service_jwks(self) -> Path:
        """Their public keys, as a JWKS."""
        return self.root / "keys" / "service-jwks.json"

    def part(self, name: str) -> Path:
        """The folder of a part's configuration and data."""
        return self.root / name

    def create(self) -> None:
        """Make the folders. Raises MachineError where a path would break the scripts that Pulsar ships, and where
        somebody else's files are: `reset` deletes the folder whole.
        """
        if any(character.isspace() for character in str(self.root)):
            raise MachineError(
                f"The data folder {str(self.root)!r} has a space in its path: Pulsar cannot take that. Use --data."
            )
        if not self.lock_file.exists() and self.root.is_dir() and any(self.root.iterdir()):
            raise MachineError(
                f"The data folder {self.root} has other files, which `chattifier reset` would delete with the stack's."
                " Choose an empty one, or one that is not there yet, with --data."
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.lock_file.touch()  # from now on it is a stack's
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise MachineError(
                f"Cannot make the data folder {self.root}: {error.strerror}. Choose another with --data."
            ) from error
