"""Settings that change while everything runs: what is refused, in which words, and what is in force."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from chat_functions.settings import Settings
from chattifier import config_pages
from pulsar_data import config
from pulsar_data.config import GROUPS, Live, Published, SettingError
from socket_gateway.settings import Limits

ROOT = Path(__file__).parents[2]


def message(group: str, **values: object) -> bytes:
    """As it is published."""
    return Published(
        group=group, values=values, version="v", source="s", by="b", time=1  # type: ignore[arg-type]
    ).to_json()  # fmt: skip


@pytest.mark.parametrize(
    ("group", "values", "said"),
    [
        ("limit", {}, "there is no group limit (did you mean limits?): there are limits, recovery, storing, gateway"),
        ("x\ny", {}, "there is no group 'x\\ny': there are limits, recovery, storing, gateway"),
        ("limits", {"text_limt": 1}, "there is no setting limits.text_limt (did you mean text_limit?): there are "),
        ("limits", {7: 1}, "there is no setting limits.7: there are text_"),
        ("limits", {"text_limit": 0}, "limits.text_limit is 0: it must be a whole number from 1 to 20000"),
        ("limits", {"text_limit": 20_001}, "limits.text_limit is 20001: it must be a whole number from 1 to 20000"),
        ("limits", {"text_limit": "99"}, "limits.text_limit is '99': it must be a whole number from 1 to 20000"),
        ("limits", {"text_limit": 9.5}, "limits.text_limit is 9.5: it must be a whole number from 1 to 20000"),
        ("limits", {"text_limit": True}, "limits.text_limit is True: it must be a whole number from 1 to 20000"),
        ("limits", {"text_limit": None}, "limits.text_limit is nothing: it must be a whole number from 1 to 20000"),
        ("limits", {"text_limit": ["x" * 99]}, f"limits.text_limit is ['{'x' * 58}…: it must be a whole number from"),
        ("gateway", {"commands": 0}, "gateway.commands is 0: it must be a number above 0, up to 100000"),
        ("gateway", {"commands": float("nan")}, "gateway.commands is nan: it must be a number above 0, up to 100000"),
        ("gateway", {"typing": -1}, "gateway.typing is -1: it must be a number from 0 to 3600"),
        ("limits", [1], "limits must be names with values, such as text_limit: 1"),
        ("limits", "text", "limits must be names with values, such as text_limit: 1"),
    ],
)  # fmt: skip
def test_what_is_no_setting_is_refused_in_clear_words(group: str, values: object, said: str) -> None:
    """On one line: the group, the name, what it is, and what is allowed."""
    with pytest.raises(SettingError) as caught:
        config.check(group, values)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """So nobody mends one thing after the other."""
    with pytest.raises(SettingError, match=r"limits\.text_limit is 0: .*; there is no setting limits\.colour: "):
        config.check("limits", {"text_limit": 0, "colour": "red"})


def test_only_what_was_given_is_published() -> None:
    """And a number is of its own type, so that the same settings are the same message."""
    assert config.check("gateway", {"commands": 5, "inflight": 9}) == {"commands": 5.0, "inflight": 9}
    assert isinstance(config.check("gateway", {"commands": 5})["commands"], float)
    assert config.check("limits", {}) == {}


def test_what_is_published_counts_over_what_a_part_was_started_with() -> None:
    """And what a later message of the group does not name is as it was started again."""
    live = Live(Settings(text_limit=500, meta_limit=600, redis_url="redis://there"))
    assert live.apply(message("limits", text_limit=7)) is not None
    assert (live.now.text_limit, live.now.meta_limit, live.now.redis_url) == (7, 600, "redis://there")
    assert live.apply(message("storing", store_interval=9)) is not None
    assert live.apply(message("limits", meta_limit=8)) is not None
    assert (live.now.text_limit, live.now.meta_limit, live.now.store_interval) == (500, 8, 9)
    live.apply(message("limits"))
    live.apply(message("storing"))
    assert live.now == Settings(text_limit=500, meta_limit=600, redis_url="redis://there")


def test_groups_of_others_are_nobodys_business() -> None:
    """A gateway has none of the functions' settings, and the other way round."""
    functions, gateway = Live(Settings()), Live(Limits())
    assert functions.apply(message("gateway", inflight=5)) is None
    assert gateway.apply(message("limits", text_limit=5)) is None
    assert (functions.now, gateway.now) == (Settings(), Limits())
    assert gateway.apply(message("gateway", inflight=5)) is not None
    assert gateway.now == Limits(inflight=5)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"[]", b"{}", b"\xff", message("limits", text_limit=0), message("limits", of_tomorrow=1),
        message("of_tomorrow", x=1), message("limits", text_limit=9).replace(b'"format":1', b'"format":2'),
        message("limits", text_limit=9)[:-1] + b',"more":1}',
    ],
)  # fmt: skip
def test_a_broken_or_later_message_changes_nothing(payload: bytes) -> None:
    """The last good one stays, and the reason is one line without a value."""
    live = Live(Settings())
    live.apply(message("limits", text_limit=77))
    with pytest.raises(ValueError) as caught:
        live.apply(payload)
    assert "\n" not in config.reason(caught.value)
    assert live.now.text_limit == 77


def test_every_setting_has_a_name_of_its_own_a_meaning_and_bounds_around_its_default() -> None:
    """So two groups never speak of the same thing, and a default can be written down."""
    names = [name for kind in GROUPS.values() for name in kind.model_fields]
    assert len(set(names)) == len(names)
    for group, kind in GROUPS.items():
        for name, field in kind.model_fields.items():
            assert field.description
            assert config.allowed(kind, name)
            config.check(group, {name: field.default})


@pytest.mark.parametrize("group", GROUPS)
def test_the_files_of_the_repository_hold_the_defaults(group: str) -> None:
    """With comments of the code. If not: `python cli/write_settings.py`."""
    written = (ROOT / "k8s" / "config" / f"{group}.yaml").read_text()
    defaults = {name: field.default for name, field in GROUPS[group].model_fields.items()}
    assert yaml.safe_load(written) == defaults
    assert written == config_pages.file(group)


def test_the_page_is_the_one_of_the_code() -> None:
    """If not: `python cli/write_settings.py`."""
    written = (ROOT / "docs" / "settings.md").read_text()
    assert config_pages.page(written) == written
    assert all(f"| `{name}` |" in written for kind in GROUPS.values() for name in kind.model_fields)


def test_there_is_no_file_of_a_group_that_is_none() -> None:
    """Whoever applies the folder applies all of it."""
    assert {path.name for path in (ROOT / "k8s" / "config").iterdir()} == {f"{group}.yaml" for group in GROUPS}
