"""The endpoints: which request calls which rule, under which limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from user_auth import accounts as rules
from user_auth import usernames
from user_auth.accounts import Accounts
from user_auth.errors import Code, Refused
from user_auth.exports import Exports
from user_auth.http import Answer, Endpoint, Request, as_json
from user_auth.limits import Limits
from user_auth.models import (
    Alive,
    Credentials,
    Erasure,
    KeySet,
    Me,
    PasswordChange,
    ProfileChange,
    Refresh,
    Registered,
    Registration,
    SessionList,
    Tokens,
)
from user_auth.signins import Caller, Signins
from user_auth.tokens import AccessTokens, RefreshToken

_SHARED: Final = "public, max-age=300"
"""Five minutes: a new key is published at least that long before it signs."""


@dataclass(frozen=True)
class Api:
    """Handlers of the endpoints; `endpoints()` is their table."""

    accounts: Accounts
    signins: Signins
    exports: Exports
    tokens: AccessTokens
    limits: Limits

    def register(self, request: Request) -> Answer:
        """Sign up."""
        wish = request.parse(Registration)
        self.limits.admit({"register-address": request.address})
        return Answer.of(201, self.accounts.register(wish))

    def login(self, request: Request) -> Answer:
        """Sign in."""
        credentials = request.parse(Credentials)
        name = usernames.normalise(credentials.username)
        account = self.limits.of_login(name, request.address) if name else {}
        self.limits.admit({"login-address": request.address, **account})
        tokens = self.accounts.login(credentials)
        if name:
            self.limits.signed_in(name, request.address)
        return Answer.of(200, tokens)

    def refresh(self, request: Request) -> Answer:
        """The next tokens."""
        text = request.parse(Refresh).refresh_token
        token = RefreshToken.parse(text)
        session = {"refresh-session": token.lineage} if token else {}
        self.limits.admit({"refresh-address": request.address, **session})
        return Answer.of(200, self.signins.refresh(text))

    def logout(self, request: Request) -> Answer:
        """End this session. A token of an ended session will do: who got a 503 may ask again."""
        claims = self.tokens.check(request.bearer())
        self.signins.end(UUID(claims.sub), UUID(claims.sid))
        return Answer(204)

    def logout_all(self, request: Request) -> Answer:
        """End every session. A token of one that has ended will do: who got a 503 may ask again."""
        claims = self.tokens.check(request.bearer())
        try:
            user = self.signins.caller(claims).user
        except Refused as ended:
            if ended.code is not Code.SESSION_ENDED:
                raise
            self.signins.end_again(claims)
        else:
            self.signins.end_all(user)
        return Answer(204)

    def password(self, request: Request) -> Answer:
        """Change the password; guesses of the old one are counted."""
        caller = self._caller(request)
        change = request.parse(PasswordChange)
        self._admit_proof(request, caller)
        return Answer.of(200, self.accounts.change_password(caller, change))

    def me(self, request: Request) -> Answer:
        """Read the profile."""
        return Answer.of(200, rules.profile(self._caller(request).user))

    def change_me(self, request: Request) -> Answer:
        """Change the profile."""
        caller = self._caller(request)
        return Answer.of(200, self.accounts.change_profile(caller.user, request.parse(ProfileChange)))

    def sessions(self, request: Request) -> Answer:
        """Where I am signed in."""
        return Answer.of(200, self.signins.overview(self._caller(request)))

    def export(self, request: Request) -> Answer:
        """All that is kept of me."""
        user = self._caller(request).user
        self.limits.admit({"export-account": str(user.user_id)})
        return Answer.lines(self.exports.open(user))

    def erase(self, request: Request) -> Answer:
        """Erase the account; guesses of its password are counted.

        The token of an account that is erased already will do: who got a 503 may ask again.
        """
        claims = self.tokens.check(request.bearer())
        proof = request.parse(Erasure)
        if not self.accounts.finish_erasing(UUID(claims.sub)):
            caller = self.signins.caller(claims)
            self._admit_proof(request, caller)
            self.accounts.erase(caller, proof)
        return Answer(204)

    def key_set(self, request: Request) -> Answer:
        """The public keys."""
        return Answer.of(200, self.tokens.keys.ring().published(), **{"Cache-Control": _SHARED})

    def document(self, request: Request) -> Answer:
        """The OpenAPI document."""
        from user_auth import openapi

        headers = {"Content-Type": "application/json", "Cache-Control": _SHARED}
        return Answer(200, as_json(openapi.document(self.endpoints())), headers)

    def alive(self, request: Request) -> Answer:
        """The process answers; touches no store, so that a probe neither wakes nor fails with one."""
        return Answer.of(200, Alive())

    def _caller(self, request: Request) -> Caller:
        return self.signins.caller(self.tokens.check(request.bearer()))

    def _admit_proof(self, request: Request, caller: Caller) -> None:
        """Count a password that proves whose session this is, apart from sign-ins: those are anybody's to fill."""
        account = str(caller.user.user_id)
        self.limits.admit({"login-address": request.address, "password-account": account})

    def endpoints(self) -> Sequence[Endpoint]:
        """The table that the router and the OpenAPI document are made of."""
        limited, stored, revoking = Code.TOO_MANY_REQUESTS, Code.TEMPORARILY_UNAVAILABLE, Code.REVOCATION_DELAYED
        return (
            Endpoint(
                "POST", "/user/register", "register", "Sign up", self.register,
                201, Registered, Registration, refusals=(Code.USERNAME_TAKEN, limited, stored),
            ),
            Endpoint(
                "POST", "/user/login", "login", "Sign in: a new session", self.login,
                200, Tokens, Credentials, refusals=(Code.BAD_CREDENTIALS, limited, stored),
            ),
            Endpoint(
                "POST", "/user/refresh", "refresh", "The next tokens; a refresh token used twice ends its session",
                self.refresh, 200, Tokens, Refresh,
                refusals=(Code.INVALID_REFRESH_TOKEN, Code.REFRESH_TOKEN_REUSED, Code.SESSION_ENDED, limited, stored,
                          revoking),
            ),
            Endpoint(
                "POST", "/user/logout", "logout", "End this session", self.logout,
                204, bearer=True, refusals=(stored, revoking),
            ),
            Endpoint(
                "POST", "/user/logout-all", "logoutAll", "End every session", self.logout_all,
                204, bearer=True, refusals=(stored, revoking),
            ),
            Endpoint(
                "POST", "/user/password", "changePassword", "Change the password and end all other sessions",
                self.password, 200, Tokens, PasswordChange, bearer=True,
                refusals=(Code.BAD_CREDENTIALS, limited, stored, revoking),
            ),
            Endpoint("GET", "/user/me", "me", "Read my profile", self.me, 200, Me, bearer=True, refusals=(stored,)),
            Endpoint(
                "PATCH", "/user/me", "changeMe", "Change my profile", self.change_me,
                200, Me, ProfileChange, bearer=True, refusals=(stored,),
            ),
            Endpoint(
                "DELETE", "/user/me", "eraseMe", "Erase my account for good", self.erase,
                204, takes=Erasure, bearer=True, refusals=(Code.BAD_CREDENTIALS, limited, stored, revoking),
            ),
            Endpoint(
                "GET", "/user/me/sessions", "sessions", "Where I am signed in", self.sessions,
                200, SessionList, bearer=True, refusals=(stored,),
            ),
            Endpoint(
                "GET", "/user/me/export", "export", "All my data, as JSON lines", self.export,
                200, bearer=True, refusals=(limited, stored), lines=_export_lines,
            ),
            Endpoint(
                "GET", "/.well-known/jwks.json", "keys", "The public keys of access tokens", self.key_set,
                200, KeySet, refusals=(stored,),
            ),
            Endpoint("GET", "/user/openapi.json", "openapi", "This document", self.document, 200),
            Endpoint("GET", "/user/healthz", "alive", "Whether the process answers", self.alive, 200, Alive),
        )  # fmt: skip


def _export_lines() -> Sequence[type[BaseModel]]:
    from user_auth.export_lines import LINES

    return LINES
