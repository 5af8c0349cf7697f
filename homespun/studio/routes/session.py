"""The session, and what the studio is."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from homespun.studio.schema.session import SessionRequest, Studio
from homespun.studio.schema.values import Done
from homespun.studio.state import State, later


def routes(state: State) -> APIRouter:
    router = APIRouter(tags=["session"])

    @router.post("/api/session")
    async def open_session(body: SessionRequest, response: Response) -> Done:
        """Exchange the token of the address for a cookie, which every other request needs."""
        raise later()

    @router.get("/api/studio")
    async def studio() -> Studio:
        """What this studio shows, and what it can do."""
        raise later()

    return router
