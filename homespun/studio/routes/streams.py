"""Server-sent events: how a route says what it sends."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from homespun.server.events import EventStream


class EventAnswer(EventStream):
    """A stream of events."""


def EVENTS(data: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For the schema: the data of each event is a JSON object of that model."""
    return {200: {"model": data, "description": "Server-sent events; `data:` of each is an object of this model."}}
