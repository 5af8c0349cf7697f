"""An answer as a stream of server-sent events, and answers that end where the client leaves.

Nobody polls: beside each answer a task waits for the message that the client has gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from homespun.server.errors import as_api_error, encoded

DONE = b"data: [DONE]\n\n"
CLIENT_LEFT = 499  # nobody reads it; the log does
log = logging.getLogger("homespun.serve")


def event(content: Any, name: str | None = None) -> bytes:
    """One event. JSON has its new lines escaped, so it is one line."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + encoded(content) + b"\n\n"


def comment(text: str) -> bytes:
    """What every client skips, and what keeps proxies from closing the connection."""
    return b": " + text.encode() + b"\n\n"


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, answer: Awaitable[Response], left: Callable[[], None]) -> Response:
    """The answer; where the client leaves before, it is cancelled, and `left` is called."""
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(gone(receive))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        left()
        return Response(status_code=CLIENT_LEFT)
    finally:
        await ended(answering, leaving)


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancels them until they have cleaned up: a cancellation may be lost (wait_for before Python 3.12)."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it has been looked at


class EventStream(Response):
    """events: encoded ones. An error among them becomes the last event, with no [DONE] behind it.

    left   called where the client leaves before the end
    stop   called at the end in any case
    name   of the event of an error: clients of /v1/responses want one
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[bytes],
        *,
        left: Callable[[], None],
        stop: Callable[[], None],
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        self.events = events
        self.left = left
        self.stop = stop
        self.name = name
        self.status_code = 200
        self.background = None
        # Proxies that buffer would make one block of the stream.
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self.send_all(send))
        leaving = asyncio.ensure_future(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self.left()
            elif not sending.cancelled() and sending.exception() is not None:
                log.error("a stream broke off: %r", sending.exception())
        finally:
            await ended(sending, leaving)
            self.stop()

    async def send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for data in self.events:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except Exception as error:
            problem = as_api_error(error)
            if problem.status == 500:
                log.exception("a stream failed")
            body = problem.body()
            if self.name is not None:
                body = {"type": self.name, "sequence_number": 0, **body["error"], "param": problem.param}
            await send({"type": "http.response.body", "body": event(body, self.name), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
