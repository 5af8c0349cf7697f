"""Which requests are answered at all: the rules that keep web pages and strangers out, before anything is read.

A page that a browser shows may send requests to this computer. `Host` gives away pages whose name was made to
point here (DNS rebinding): names that are not on the list are refused, on every request. `Origin` and
`Sec-Fetch-Site` give away other pages. Only application/json is read, which a page cannot send without asking
first, and only those on the list of origins are allowed to.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homespun.server.errors import ApiError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]{2,45}\]|[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?)(:(?P<port>[0-9]{1,5}))?")
LARGEST_BODY = 4 * 2**20  # bytes
BODY_SECONDS = 60.0
MOST_AT_ONCE = 1000  # requests
OPEN_TO_ALL = ("/health",)  # without the key
METHODS = "GET, POST, OPTIONS"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True)
class Rules:
    """
    port       that the server listens on; None: any is right (a socket file)
    hosts      names that it may be called by beside the loopback's
    origins    web pages that may use it, such as https://notes.example; "*" for all, which takes a key
    key        None: nobody has to show one
    """

    port: int | None = None
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    key: str | None = field(default=None, repr=False)
    largest_body: int = LARGEST_BODY
    body_seconds: float = BODY_SECONDS
    most_at_once: int = MOST_AT_ONCE


class Guard:
    """The rules, around an application. A request that breaks one is refused in the envelope."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app = app
        self.rules = rules
        self.count = 0  # requests that are being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        origin = only(headers, b"origin")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                added = [pair for pair in HEADERS if pair[0] not in present]
                message = {**message, "headers": [*message["headers"], *added, *self.cors(origin)]}
            await send(message)

        self.count += 1
        try:
            await self.answer(scope, headers, receive, sending)
        finally:
            self.count -= 1

    async def answer(
        self, scope: Scope, headers: list[tuple[bytes, bytes]], receive: Receive, sending: Send
    ) -> None:
        try:
            if self.count > self.rules.most_at_once:
                raise ApiError(
                    f"The server is answering {self.rules.most_at_once:,} requests already.",
                    "Ask again in a moment.",
                    status=503,
                    kind="server_error",
                    code="overloaded",
                    headers={"retry-after": "1"},
                )
            self.check(scope, headers)
            if scope["method"] == "OPTIONS":
                await preflight(only(headers, b"origin"), sending)
                return
            if scope["method"] in ("POST", "PUT", "PATCH") and not self.takes_stream(scope, headers):
                check_type(headers)
                receive = await self.read(headers, receive)
        except ApiError as error:
            await error.response()(scope, receive, sending)
            return
        await self.app(scope, receive, sending)

    def check(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
        """Raises ApiError where a rule is broken."""
        self.check_host(headers)
        self.check_origin(headers)
        if scope["method"] != "OPTIONS" and scope["path"] not in OPEN_TO_ALL:
            self.check_key(headers)

    def takes_stream(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the application reads the body itself, as it comes. Raises ApiError."""
        return False

    def check_host(self, headers: list[tuple[bytes, bytes]]) -> None:
        found = all_of(headers, b"host")
        match = HOST.fullmatch(found[0].lower()) if len(found) == 1 else None
        if match is not None:
            port = int(match["port"] or 80)
            is_own = match["name"] in LOOPBACK and self.rules.port in (None, port)
            if is_own or match["name"] in self.rules.hosts:
                return
        told = ", ".join(found)[:100] or "absent"
        raise refusal(
            f"The Host of this request is {told!r}.",
            "Call the server by 127.0.0.1 or localhost, or start it with --allow-host NAME.",
            "host_not_allowed",
        )

    def check_origin(self, headers: list[tuple[bytes, bytes]]) -> None:
        origins = all_of(headers, b"origin")
        if len(origins) > 1:
            raise refusal("The request has several origins.", "", "origin_not_allowed")
        if origins:
            if self.allows(origins[0]) or origins[0] == f"http://{all_of(headers, b'host')[0]}":
                return
            raise refusal(
                f"Pages of {origins[0][:100]!r} may not use this server.",
                "To allow that, start it with --allow-origin ORIGIN.",
                "origin_not_allowed",
            )
        # What a page loads as an image or a script has no Origin, and says this.
        if any(site not in ("same-origin", "none") for site in all_of(headers, b"sec-fetch-site")):
            raise refusal(
                "The request comes from a page of another site.",
                "To allow that, start the server with --allow-origin ORIGIN.",
                "origin_not_allowed",
            )

    def allows(self, origin: str) -> bool:
        """`null`, which sandboxed pages and files have, is never allowed."""
        return origin != "null" and (origin in self.rules.origins or "*" in self.rules.origins)

    def check_key(self, headers: list[tuple[bytes, bytes]]) -> None:
        if self.rules.key is None:
            return
        shown = [value[7:] for value in all_of(headers, b"authorization") if value[:7].lower() == "bearer "]
        shown += all_of(headers, b"x-api-key")
        own = self.rules.key.encode()
        if not any(hmac.compare_digest(key.strip().encode("latin-1"), own) for key in shown):
            raise ApiError(
                "The request shows no key, or a wrong one." if shown else "The request shows no key.",
                "Send it as Authorization: Bearer KEY; the server was started with it, or printed it.",
                status=401,
                kind="authentication_error",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )

    def cors(self, origin: str | None) -> Iterable[tuple[bytes, bytes]]:
        """For origins that were named, and for no other."""
        if origin is None or not self.allows(origin):
            return ((b"cross-origin-resource-policy", b"same-origin"),)
        return (
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", b"x-homespun-seed, x-homespun-ignored, retry-after"),
            (b"vary", b"Origin"),
            (b"cross-origin-resource-policy", b"cross-origin"),
        )

    async def read(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> Receive:
        """The whole body, within its limits; then what else there is to receive: that the client has left."""
        stated = only(headers, b"content-length")
        if stated is not None and stated.isdigit() and int(stated) > self.rules.largest_body:
            raise self.too_large()
        try:
            body = await asyncio.wait_for(self.body(receive), self.rules.body_seconds)
        except asyncio.TimeoutError:
            raise ApiError(
                f"The body did not come within {self.rules.body_seconds:g} s.", "Send it faster.", status=408
            ) from None
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return first.pop() if first else await receive()

        return again

    async def body(self, receive: Receive) -> bytes:
        parts, length = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ApiError("The client left.", status=400)
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > self.rules.largest_body:
                raise self.too_large()
            if not message.get("more_body"):
                return b"".join(parts)

    def too_large(self) -> ApiError:
        return ApiError(
            f"The body has more than {self.rules.largest_body:,} bytes.",
            "Send less text in one request.",
            status=413,
            code="body_too_large",
            headers={"connection": "close"},  # what else of it is on its way is not read
        )


def check_type(headers: list[tuple[bytes, bytes]]) -> None:
    found = all_of(headers, b"content-type")
    kind, _, rest = (found[0] if len(found) == 1 else "").lower().partition(";")
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", rest)
    coding = only(headers, b"content-encoding")
    if kind.strip() == "application/json" and (charset is None or charset[1] in ("utf-8", "utf8")) and not coding:
        return
    raise ApiError(
        f"The body is {', '.join([*found, *([coding] if coding else [])])[:100] or 'of no stated type'}.",
        "Send JSON in UTF-8, with Content-Type: application/json.",
        status=415,
        code="unsupported_media_type",
    )


def refusal(what: str, todo: str, code: str) -> ApiError:
    return ApiError(what, todo, status=403, kind="permission_error", code=code)


async def preflight(origin: str | None, send: Send) -> None:
    """What a browser asks before a page may send JSON. check_origin has let only origins through that may."""
    headers = [(b"content-length", b"0"), (b"allow", METHODS.encode())]
    if origin is not None:
        headers += [
            (b"access-control-allow-methods", METHODS.encode()),
            (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
            (b"access-control-max-age", b"600"),
        ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def all_of(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def only(headers: list[tuple[bytes, bytes]], name: bytes) -> str | None:
    found = all_of(headers, name)
    return found[0] if len(found) == 1 else None
