"""The process: sockets, the loop, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import stat
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import h11
import psutil
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from homespun.errors import UsageError, WriteFailed
from homespun.server.answering import Server
from homespun.server.app import application
from homespun.server.engines import Engines
from homespun.server.errors import ApiError, encoded, stopping
from homespun.server.guard import Rules
from homespun.server.metrics import Metrics
from homespun.server.models import Entry, Models
from homespun.server.options import Options

PORT = 8000
GRACE = 2.0  # seconds that texts go on for after the first Ctrl-C
LAST = 3  # seconds after which connections are cut; uvicorn counts in whole ones
EVERYWHERE = ("0.0.0.0", "::")
NUMBERED = (socket.AF_INET, socket.AF_INET6)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """Where the server listens. port None: the usual one, or any where it is taken. socket_file: instead."""

    host: str = "127.0.0.1"
    port: int | None = None
    socket_file: Path | None = None
    usual: int = PORT

    def is_local(self) -> bool:
        return self.socket_file is not None or self.host in LOOPBACK


def key_for(address: Address, key: str | None, origins: Sequence[str]) -> str | None:
    """The key that is asked for: beyond this computer there is always one. Raises UsageError for a key that no
    header can carry, and for an origin that is none."""
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key and len(key) >= 8):
        raise UsageError(
            "The key is too short, or has characters in it that no header can carry.",
            "Take 8 letters and digits or more; without --api-key one is made where it is needed.",
        )
    if key is None and (not address.is_local() or "*" in origins):
        return secrets.token_urlsafe(24)
    return key


def own_names(address: Address) -> list[str]:
    """What a server beyond the loopback may be called by: its address, or where it listens on all, each of this
    computer's. A number cannot be made to point elsewhere, as a name can: names take --allow-host."""
    if address.is_local():
        return []
    if address.host not in EVERYWHERE:
        return [bracketed(address.host)]
    cards = psutil.net_if_addrs().values()
    found = (number for card in cards for version, number, *_ in card if version in NUMBERED)
    return [bracketed(number) for number in found if "%" not in number]


def shown_host(address: Address) -> str:
    """The address to print: one that others can reach, where it listens on all."""
    if address.host not in EVERYWHERE:
        return bracketed(address.host)
    return next((name for name in own_names(address) if name not in ("127.0.0.1", "[::1]")), "127.0.0.1")


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def listening(address: Address) -> Iterator[list[socket.socket]]:
    """Sockets that are bound. Raises UsageError where the port is taken or the host is none of this computer's."""
    if address.socket_file is not None:
        path = address.socket_file
        own = bound_file(path)
        try:
            yield [own]
        finally:
            own.close()
            path.unlink(missing_ok=True)
        return
    sockets = bound(address)
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def bound(address: Address) -> list[socket.socket]:
    """On the loopback, 127.0.0.1 and ::1 (where there is IPv6): `localhost` may be either."""
    if address.port is None:
        try:
            return bound(Address(address.host, address.usual))
        except UsageError:
            return bound(Address(address.host, 0))
    first = bound_port(address.host, address.port)
    if address.host not in LOOPBACK:
        return [first]
    other = "127.0.0.1" if ":" in first.getsockname()[0] else "::1"
    try:
        return [first, bound_port(other, first.getsockname()[1])]
    except UsageError:
        return [first]


def bound_port(host: str, port: int) -> socket.socket:
    try:
        version, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(version, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"There is no address {host!r}: {error}.", "Give one of this computer's: --host"
        ) from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(place)
    except OSError as error:
        made.close()
        raise UsageError(
            f"The server cannot listen on {host}, port {port}: {error.strerror}.",
            "Give another one: --port N, or leave it out: then a free one is taken.",
        ) from None
    return made


def bound_file(path: Path) -> socket.socket:
    """A socket in the file system that only its owner can open. One that a dead server left is replaced."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not answers(path):
            path.unlink()
        made.bind(str(path))
    except OSError as error:
        made.close()
        raise WriteFailed(
            f"The socket {path} cannot be made: {error.strerror or error}.", "Give another path: --uds PATH"
        ) from None
    finally:
        os.umask(mask)
    return made


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


class Protocol(H11Protocol):
    """HTTP/1.1, whose own refusals (no Host, two of them, a head too large) are in the envelope, too."""

    def send_400_response(self, msg: str) -> None:
        body = encoded(ApiError(f"This is no HTTP request: {msg}").body())
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            output = self.conn.send(event)
            if output:
                self.transport.write(output)
        self.transport.close()


class Process(uvicorn.Server):
    """Ctrl-C: no new requests; texts go on for 2 s, then end with an error that says why. A second: at once."""

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self.server = server
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        is_first = not self.should_exit
        super().handle_exit(sig, frame)
        self.server.is_stopping = True
        # What is cut off from here on is no failure, and needs no traceback of uvicorn's.
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
        if is_first and self.loop is not None:
            self.loop.call_soon_threadsafe(self.loop.call_later, GRACE, self.end_texts)

    def end_texts(self) -> None:
        self.server.engines.cancel(list(self.server.engines.live), stopping())


def run(
    entries: Sequence[Entry],
    sockets: Sequence[socket.socket],
    *,
    settings: Mapping[str, Any],
    options: Options,
    rules: Rules,
    load_first: bool = True,
    ready: Callable[[Process], None] = lambda process: None,
) -> None:
    """Serves until it is interrupted. While the first model is loaded, requests wait, and /health says so.

    ready is called when it is loaded. Raises what loading it raises.
    """
    engines = Engines()
    server = Server(Models(entries, engines, settings), engines, Metrics(), options, is_loading=load_first)

    async def load() -> None:
        if load_first:
            await server.models.get(None)
            server.is_loading = False

    serve_application(application(server, rules), server, sockets, prepare=load, ready=ready)


async def nothing() -> None:
    return None


def serve_application(
    app: ASGIApp,
    server: Server,
    sockets: Sequence[socket.socket],
    *,
    prepare: Callable[[], Awaitable[None]] = nothing,
    before_end: Callable[[], Awaitable[None]] = nothing,
    ready: Callable[[Process], None] = lambda process: None,
) -> None:
    """Serves an application over the engines of `server` until the process is interrupted.

    prepare runs beside it from the beginning, and ready is called when it is done; what it raises ends the server.
    """
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=LAST,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=2**16,
    )
    process = Process(config, server)

    async def main() -> None:
        serving = asyncio.ensure_future(process.serve(sockets=list(sockets)))
        preparing = asyncio.ensure_future(prepare())
        try:
            await asyncio.wait({serving, preparing}, return_when=asyncio.FIRST_COMPLETED)
            if not preparing.done():
                preparing.cancel()  # it was interrupted
            elif preparing.exception() is None:
                ready(process)
            else:
                process.should_exit = server.is_stopping = True
            await serving
            if not preparing.cancelled():
                preparing.result()
        finally:
            if not process.force_exit:
                await before_end()
                await server.engines.close()

    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    with orderly_termination():
        asyncio.run(main())


@contextlib.contextmanager
def orderly_termination() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does. uvicorn raises it again once it is done: the process would end by it before
    a socket file is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
