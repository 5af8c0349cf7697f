"""The bytes of a response from an untrusted server: unpacked in bounded memory and bounded time."""

from __future__ import annotations

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from homespun.errors import DownloadFailed

BLOCK = 2**20  # bytes that are decompressed at a time
ANSWER_SECONDS = 300.0  # for the response headers, which a server could send byte by byte
WATCHED_SECONDS = 30.0  # the speed is averaged over this time
SLOWEST = 1024  # bytes per second; at this speed a short book takes ten minutes
PATIENCE = 10  # times in a row that it is slower: a computer that slept or was busy is slow once
_WAY_OUT = "Try again later, or download it yourself and give the path of the file."


def content_of(raw: Iterable[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Return the decompressed response. `encoding` is its Content-Encoding. Raises DownloadFailed."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return iter(raw)
    if encoding in ("gzip", "x-gzip"):
        return _unpacked(raw, name)
    raise DownloadFailed(
        f"{name} is sent in a packing that was not asked for: {encoding[:60]}.",
        "Download it yourself and give the path of the file.",
    )


def _unpacked(raw: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Decompress gzip in blocks: a thousand zeros are one byte in it, so a small file could fill any memory."""
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        for sent in raw:
            while sent:
                if unpack.eof:
                    if not sent.startswith(b"\x1f\x8b"):
                        return  # padding after the end
                    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
                yield unpack.decompress(sent, BLOCK)
                sent = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
        while not unpack.eof and (rest := unpack.decompress(unpack.unconsumed_tail, BLOCK)):
            yield rest
    except zlib.error as error:
        raise DownloadFailed(f"{name} arrived damaged: {error}.", _WAY_OUT) from error
    if not unpack.eof:
        raise DownloadFailed(f"{name} stopped half-way: what was packed is not whole.", _WAY_OUT)


def steady(raw: Iterable[bytes], name: str, now: Callable[[], float] = time.monotonic) -> Iterator[bytes]:
    """Yield the blocks, as long as they arrive fast enough. Raises DownloadFailed."""
    since, size, slow = now(), 0, 0
    for block in raw:
        size += len(block)
        if now() - since > WATCHED_SECONDS:
            slow = slow + 1 if size < SLOWEST * WATCHED_SECONDS else 0
            if slow == PATIENCE:
                raise DownloadFailed(
                    f"{name} comes too slowly: {size:,} bytes in the last {now() - since:.0f} seconds, "
                    f"and no faster before.",
                    _WAY_OUT,
                )
            since, size = now(), 0
        yield block


@contextmanager
def answering_soon(seconds: float | None = None) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Close the connection if the block takes too long. It yields the callback for httpx's `trace` extension."""
    connections: list[socket.socket] = []

    def trace(event: str, facts: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            connections.append(facts["return_value"].get_extra_info("socket"))

    def cut() -> None:
        for connection in connections:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # also under TLS, in any state
            except OSError:
                continue  # already closed

    timer = threading.Timer(ANSWER_SECONDS if seconds is None else seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield trace
    finally:
        timer.cancel()
