"""Which requests are answered: the rules of homespun serve, and a session.

The address that the terminal prints has a token behind `#`, which a browser sends to nobody. The page exchanges it
for a cookie that no script can read and that is sent with no request of another site. A program may send the token
itself, as a key: Authorization: Bearer TOKEN. Without either there is the page, and nothing else.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Scope

from homespun.server.errors import ApiError
from homespun.server.guard import Guard, Rules, all_of, only, refusal

OPEN = ("/api/session", "/health")
UPLOAD = "/api/act/upload"
READS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Session:
    """token: in the address. secret: in the cookie. static: paths of the page, which everybody may have."""

    token: str = field(repr=False)
    secret: str = field(repr=False)
    cookie: str
    static: Callable[[str], bool]

    def set_cookie(self) -> str:
        return f"{self.cookie}={self.secret}; Path=/; HttpOnly; SameSite=Strict"

    def is_token(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self.token.encode())

    def is_secret(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self.secret.encode())


class StudioGuard(Guard):
    """The rules of Guard, with the session in place of its key."""

    def __init__(self, app: ASGIApp, rules: Rules, session: Session) -> None:
        super().__init__(app, rules)
        self.session = session

    def check(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
        self.check_host(headers)
        self.check_origin(headers)
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS" or path in OPEN or (method in ("GET", "HEAD") and self.session.static(path)):
            return
        if any(self.session.is_token(key) for key in keys_in(headers)):
            return
        if not any(self.session.is_secret(value) for value in cookies_in(headers, self.session.cookie)):
            raise ApiError(
                "This browser has no session with the studio.",
                "Open the address that the terminal has printed, with all that stands behind #.",
                status=401,
                kind="authentication_error",
                code="no_session",
            )
        # A browser names the origin of every request that is no GET. What has a cookie and no origin is none.
        if method not in READS and only(headers, b"origin") is None:
            raise refusal(
                "The request has a cookie, and no origin.",
                "A program sends the token instead: Authorization: Bearer TOKEN",
                "origin_missing",
            )

    def takes_stream(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> bool:
        """A file that is uploaded is taken as it comes, within its own limits."""
        if scope["path"] != UPLOAD or scope["method"] != "POST":
            return False
        if only(headers, b"content-type") != "application/octet-stream" or only(headers, b"content-encoding"):
            raise ApiError(
                "An uploaded file is sent as it is.",
                "Use Content-Type: application/octet-stream.",
                status=415,
                code="unsupported_media_type",
            )
        return True


def keys_in(headers: list[tuple[bytes, bytes]]) -> list[str]:
    return [value[7:].strip() for value in all_of(headers, b"authorization") if value[:7].lower() == "bearer "]


def cookies_in(headers: list[tuple[bytes, bytes]], name: str) -> list[str]:
    found = []
    for header in all_of(headers, b"cookie"):
        try:
            cookies = SimpleCookie(header)
        except CookieError:
            continue
        if name in cookies:
            found.append(cookies[name].value)
    return found
