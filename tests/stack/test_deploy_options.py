"""What `chattifier deploy` refuses before it does anything."""

from __future__ import annotations

from tests.stack import command

PLACES = (
    "--admin-url", "http://127.0.0.1:1", "--service-url", "pulsar://127.0.0.1:1", "--cassandra", "127.0.0.1:1"
)  # fmt: skip
PASSWORD = "hush-hush"


def test_a_password_of_redis_is_not_written_down() -> None:
    """It would be in the functions' configuration, which whoever may look at functions may read."""
    done = command.run("deploy", *PLACES, "--redis-url", f"redis://:{PASSWORD}@127.0.0.1:1/0")
    assert done.code == 2
    assert "--redis-of-worker" in done.err
    assert PASSWORD not in done.err + done.out


def test_where_redis_is_must_be_said() -> None:
    done = command.run("deploy", *PLACES)
    assert done.code == 2
    assert "Where is Redis?" in done.err
