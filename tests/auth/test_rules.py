"""Rules that need no store: spellings of names, passwords, settings, whose address counts, connections made once."""

from __future__ import annotations

import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pulsar_data.addresses import client_address
from tests.fastest import fastest
from user_auth import passwords, usernames
from user_auth.errors import Unavailable
from user_auth.keys import signing_kid
from user_auth.models import ProfileChange
from user_auth.once import Once
from user_auth.settings import DEFAULT_LIMITS, Limit, Settings
from user_auth.stream import GRACE, SLOWEST, Broken, Stream
from user_auth.tokens import RefreshToken


@given(st.text(max_size=40))
def test_a_name_has_one_spelling_for_ever(typed: str) -> None:
    """What is stored is found again when it is typed as it is stored, in upper case too."""
    name = usernames.normalise(typed)
    if name is not None:
        assert usernames.normalise(name) == usernames.normalise(name.upper()) == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [("Ada", "ada"), ("ＡＤＡ", "ada"), ("a.b-c_9", "a.b-c_9"), ("ﬁona", "fiona"), ("\u212aelvin", "kelvin")],
)
def test_names_that_look_alike_are_one(typed: str, name: str) -> None:
    assert usernames.normalise(typed) == name


@pytest.mark.parametrize("typed", ["", "ab", "a" * 33, "ada lovelace", "ada\n", "аda", "ada\u200b", "zoë"])
def test_a_name_of_other_characters_is_none(typed: str) -> None:
    """The third from the end begins with a Cyrillic letter."""
    assert usernames.normalise(typed) is None


def test_no_spelling_of_a_name_is_longer_than_the_name() -> None:
    """So what is typed longer is refused unfolded: no character vanishes, and none of several is one of a name."""
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    for character in map(chr, range(sys.maxunicode + 1)):
        once = unicodedata.normalize("NFKC", character).casefold()
        folded = unicodedata.normalize("NFKC", once)
        assert folded, ascii(character)
        assert len(unicodedata.normalize("NFD", character)) == 1 or not allowed.issuperset(folded), ascii(character)


@pytest.mark.parametrize("normalise", [usernames.normalise, passwords.normalise])
def test_a_pile_of_marks_takes_no_time(normalise: Callable[[str], str | None]) -> None:
    """16 KiB of them come before any limit."""
    marks = "\u0300" * 4_000 + "\u0316" * 4_000
    assert fastest(lambda: normalise(marks)) < 0.005


def test_a_password_may_be_typed_in_pieces_up_to_its_last_character() -> None:
    """Alpha with breathing, accent and iota, the most pieces that a character has."""
    composed = "\u1f82" * passwords.LONGEST
    pieces = unicodedata.normalize("NFD", composed)
    assert len(pieces) == 4 * len(composed)
    assert passwords.normalise(pieces) == composed and passwords.fault(composed) is None
    assert passwords.fault(passwords.normalise(f"{pieces}x")) == "password_too_long"
    assert max(len(unicodedata.normalize("NFD", chr(point))) for point in range(sys.maxunicode + 1)) == 4


def test_the_refused_passwords_are_a_thousand_that_could_be_chosen_otherwise() -> None:
    common = passwords._common()
    assert len(common) == 1000
    assert all(len(password) >= passwords.SHORTEST for password in common)
    assert {passwords.fault(password.upper()) for password in common} == {"password_common"}


@pytest.mark.parametrize("password", ["8 chars!", "x" * 128, "пароль для всех", "🐎🔋📎🐎🔋📎🐎🔋"])
def test_any_characters_make_a_password(password: str) -> None:
    assert passwords.fault(passwords.normalise(password)) is None


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("", 0, "192.0.2.1"),
        ("198.51.100.7", 0, "192.0.2.1"),
        ("198.51.100.7", 1, "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", 1, "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", 2, "203.0.113.9"),
        ("203.0.113.9, 198.51.100.7", 3, "192.0.2.1"),
        ("not an address", 1, "192.0.2.1"),
        ("2001:db8::1:2:3:4", 1, "2001:db8::/64"),
        ("::ffff:198.51.100.7", 1, "198.51.100.7"),
    ],
)
def test_only_what_a_trusted_proxy_wrote_counts_as_the_address(forwarded: str, proxies: int, address: str) -> None:
    assert client_address("192.0.2.1", forwarded, proxies) == address


def test_settings_come_from_the_environment_and_have_defaults() -> None:
    settings = Settings.read({"CHATTIFIER_CASSANDRA": "one:1, two:2,three", "CHATTIFIER_TRUSTED_PROXIES": "1"})
    assert settings.cassandra == (("one", 1), ("two", 2), ("three", 9042))
    assert (settings.trusted_proxies, settings.keyspace, settings.limits) == (1, "chat", DEFAULT_LIMITS)


def test_limits_can_be_changed_one_by_one_or_turned_off() -> None:
    changed = Settings.read({"CHATTIFIER_AUTH_LIMITS": "login-account=5/30"}).limits
    assert changed == {**DEFAULT_LIMITS, "login-account": Limit(count=5, seconds=30)}
    assert Settings.read({"CHATTIFIER_AUTH_LIMITS": "off"}).limits == {}


@pytest.mark.parametrize("text", ["login=5/30", "login-account=5", "login-account=0/30", "on"])
def test_a_limit_that_is_none_stops_the_start(text: str) -> None:
    """A limit that is mistyped and quietly left out would be found by an attacker first."""
    with pytest.raises(ValueError):
        Settings.read({"CHATTIFIER_AUTH_LIMITS": text})


def test_settings_do_not_show_the_broker_s_token() -> None:
    assert "secret" not in repr(Settings.read({"CHATTIFIER_PULSAR_TOKEN": "secret"}))


def test_a_start_imports_nothing_that_only_some_requests_need() -> None:
    """Somebody waits for each cold start: what a store, a password, a token, an export needs comes at its first use."""
    late = {"cassandra", "redis", "pulsar", "argon2", "jwt", "cryptography", "pulsar_data.events"}
    late |= {"user_auth.export", "user_auth.export_lines", "user_auth.openapi", "user_auth.operator"}
    start = "import sys; from user_auth import app; from user_auth.settings import Settings; app.router(Settings());"
    code = f"{start} print(sorted({late!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_connection_is_made_once_however_many_ask_at_first() -> None:
    numbers, gate = count(1), threading.Barrier(8)
    once = Once(lambda: next(numbers))

    def get() -> int:
        gate.wait(5)
        return once.get()

    with ThreadPoolExecutor(8) as pool:
        results = [future.result() for future in [pool.submit(get) for _ in range(8)]]
    assert results == [1] * 8


def test_after_a_connection_failed_others_are_refused_at_once_and_later_ones_try_again() -> None:
    tries: list[int] = []

    def connect() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable
        return "connected"

    patient, eager = Once(connect, pause=60), Once(connect, pause=0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            patient.get()
    assert len(tries) == 1
    assert eager.get() == "connected"


def test_a_connection_that_is_forgotten_is_made_anew_once_however_many_have_seen_it_fail() -> None:
    numbers = count(1)
    once = Once(lambda: next(numbers))
    lost = once.get()
    assert [once.forget(lost), once.forget(lost)] == [True, False]
    assert once.get() == once.get() == 2
    assert not once.forget(lost)
    assert once.get() == 2


@pytest.mark.parametrize("name", ["Ada\nLovelace", "a\u202etacirema", "A\u200bda", "\x00", "Ada\u2028", "\u2066Ada"])
def test_a_display_name_holds_nothing_that_is_not_seen(name: str) -> None:
    with pytest.raises(ValidationError, match="display_name_invalid"):
        ProfileChange(display_name=name)


@pytest.mark.parametrize(
    "name", ["", "Ada Lovelace", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "👩\u200d💻", "Zoë"]
)
def test_a_display_name_may_be_in_any_script(name: str) -> None:
    assert ProfileChange(display_name=name).display_name == name


@pytest.mark.parametrize(("seconds", "whole"), [(0.1, True), (0.9, True), (1.1, False)])
def test_who_reads_an_export_too_slowly_does_not_keep_it_from_others(seconds: float, whole: bool) -> None:
    """Pieces of 32 KiB: one each second is enough."""
    now, given_back = [0.0], [False]

    def give_back() -> None:
        given_back[0] = True

    stream, taken = Stream(iter([b"x" * SLOWEST] * 100), give_back, lambda: now[0]), 0
    with nullcontext() if whole else pytest.raises(Broken):
        for _ in stream:
            now[0] += seconds
            taken += 1
    assert given_back[0]
    assert (taken == 100) == whole
    assert taken * seconds > GRACE or whole


def test_a_refresh_token_reads_back_and_shows_no_secret() -> None:
    token = RefreshToken.new(uuid4(), uuid4())
    assert RefreshToken.parse(str(token)) == token
    assert token.is_latest(token.digest) and token.is_of_session(token.digest)
    later = RefreshToken.new(token.user, token.session, token.family)
    assert not token.is_latest(later.digest) and token.is_of_session(later.digest)
    made_up = RefreshToken.new(token.user, token.session)
    assert not made_up.is_latest(token.digest) and not made_up.is_of_session(token.digest)
    assert str(token).rpartition(".")[2] not in repr(token)


@pytest.mark.parametrize(
    ("kids", "signs"),
    [
        (["20260131T120000Z"], "20260131T120000Z"),  # the only one there is
        (["20260131T115500Z", "20260131T120000Z"], "20260131T115500Z"),  # the new one is published, and waits
        (["20260130T120000Z", "20260131T115500Z"], "20260131T115500Z"),  # five minutes later
        (
            ["20260131T115900Z", "20260131T120100Z"],
            "20260131T115900Z",
        ),  # none is old enough
        (["first", "second"], "second"),  # names that are no times: whoever names them so sees to it
        (["20260131", "first"], "first"),  # a day is none either
        (["20260131T120000Z", "old"], "old"),
    ],
)
def test_a_key_is_known_for_five_minutes_before_it_signs(kids: list[str], signs: str) -> None:
    assert signing_kid(kids, datetime(2026, 1, 31, 12, 0, tzinfo=UTC)) == signs
