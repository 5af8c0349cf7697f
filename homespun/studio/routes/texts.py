"""Texts that can be chosen."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from homespun.studio.schema.texts import Corpora, Listing
from homespun.studio.state import State, later


def routes(state: State) -> APIRouter:
    router = APIRouter(tags=["texts"])

    @router.get("/api/texts")
    async def corpora() -> Corpora:
        """The named corpora."""
        raise later()

    @router.get("/api/folder")
    async def folder(path: Annotated[str, Query(max_length=1000)] = "") -> Listing:
        """What lies in a folder below the studio's folder, to choose a text from."""
        raise later()

    return router
