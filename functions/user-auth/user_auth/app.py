"""Puts the parts together. Nothing here connects to anything: each store does at its first use."""

from __future__ import annotations

import time
from dataclasses import dataclass

from user_auth.accounts import Accounts
from user_auth.announcements import Announcements
from user_auth.api import Api
from user_auth.cors import Origins
from user_auth.counters import Counters
from user_auth.database import Database
from user_auth.erasures import Erasures
from user_auth.exports import Exports
from user_auth.http import Router
from user_auth.keys import KeyFolder
from user_auth.limits import Limits
from user_auth.memory import Memory
from user_auth.revocations import Revocations
from user_auth.rooms import Rooms
from user_auth.sessions import Sessions
from user_auth.settings import Settings
from user_auth.signins import Signins
from user_auth.tokens import AccessTokens
from user_auth.users import Users


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Parts:
    """All rules of user-auth on the stores of its settings."""

    users: Users
    sessions: Sessions
    rooms: Rooms
    tokens: AccessTokens
    signins: Signins
    erasures: Erasures
    memory: Memory


def parts(settings: Settings) -> Parts:
    """The parts for these settings."""
    database, memory = Database(settings), Memory(settings.redis_url)
    revocations = Revocations(memory, Announcements(settings))
    tokens = AccessTokens(KeyFolder(settings.signing_keys), settings.issuer, settings.audience, settings.access_seconds)
    users, sessions = Users(database), Sessions(database)
    return Parts(
        users=users,
        sessions=sessions,
        rooms=Rooms(database),
        tokens=tokens,
        signins=Signins(users, sessions, tokens, revocations, settings.session_seconds, now_ms),
        erasures=Erasures(users, sessions, revocations, settings.name_kept_seconds, now_ms),
        memory=memory,
    )


def router(settings: Settings) -> Router:
    """The whole of user-auth over HTTP."""
    own = parts(settings)
    accounts = Accounts(own.users, own.signins, own.signins.revocations, own.erasures, now_ms)
    exports = Exports(own.sessions, own.rooms, now_ms)
    limits = Limits(own.memory, Counters(time.monotonic), settings.limits)
    api = Api(accounts, own.signins, exports, own.tokens, limits)
    return Router(api.endpoints(), Origins(settings.origins))
