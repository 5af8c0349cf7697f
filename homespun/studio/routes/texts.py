"""Texts that can be chosen."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from homespun.studio.schema.texts import Corpora, Listing
from homespun.studio.state import State
from homespun.studio.text_list import corpora_here, listing_of


def routes(state: State) -> APIRouter:
    router = APIRouter(tags=["texts"])

    @router.get("/api/texts")
    async def corpora() -> Corpora:
        """The named corpora."""
        return await asyncio.to_thread(corpora_here)

    @router.get("/api/folder")
    async def folder(path: Annotated[str, Query(max_length=1000)] = "") -> Listing:
        """What lies in a folder below the studio's folder, to choose a text from."""
        return await asyncio.to_thread(listing_of, state.folder, path)

    return router
