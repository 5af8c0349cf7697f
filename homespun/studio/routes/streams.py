"""Server-sent events: how a route says what it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from homespun.server.events import EventStream


class EventAnswer(EventStream):
    """A stream of events, which ends with the client."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, left=nothing, stop=nothing)


def nothing() -> None:
    return None


def EVENTS(data: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For the schema: the data of each event is a JSON object of that model."""
    return {200: {"model": data, "description": "Server-sent events; `data:` of each is an object of this model."}}
