"""Run the `pulsar-admin` of the fetched distribution."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chattifier.errors import DeployError
from chattifier.java import java_home
from chattifier.processes import environment

JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m"
"""It lives for seconds: only the quick tier of the compiler, which halves what a call costs."""
PATIENCE = 180.0


@dataclass(frozen=True)
class PulsarAdmin:
    """The tool, and the Pulsar that it talks to."""

    distribution: Path
    admin_url: str
    service_url: str
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def run(self, arguments: Sequence[str]) -> None:
        """One call. Raises DeployError with the tool's own words if it fails."""
        with tempfile.TemporaryDirectory() as folder:
            config = self._client_conf(Path(folder))
            command = [str(self.distribution / "bin" / "pulsar-admin"), *arguments]
            env = environment(JAVA_HOME=str(java_home()), PULSAR_CLIENT_CONF=str(config), PULSAR_EXTRA_OPTS=JVM)
            try:
                done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
            except subprocess.TimeoutExpired as error:
                raise DeployError(f"pulsar-admin {' '.join(arguments[:2])} took over {PATIENCE:.0f} s.") from error
        if done.returncode != 0:
            raise DeployError(f"pulsar-admin {' '.join(arguments[:2])} failed: {_reason(done.stdout + done.stderr)}")

    def _client_conf(self, folder: Path) -> Path:
        """The token goes in a file that only we can read: arguments can be seen by everybody on the machine."""
        lines = [f"webServiceUrl={self.admin_url}", f"brokerServiceUrl={self.service_url}"]
        if self.token:
            lines += [
                "authPlugin=org.apache.pulsar.client.impl.auth.AuthenticationToken",
                f"authParams=token:{self.token}",
            ]
        if self.ca_file:
            lines += [f"tlsTrustCertsFilePath={self.ca_file.resolve()}", "tlsEnableHostnameVerification=true"]
        path = folder / "client.conf"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
        return path


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(("\t", " "))]
    said = [line for line in lines if line.startswith(("Reason:", "Error", "Exception"))]
    return (said or lines or ["it said nothing"])[-1][:300]
