"""The session, and what the studio is."""

from __future__ import annotations

from importlib.util import find_spec

import psutil
from fastapi import APIRouter
from starlette.responses import Response

from homespun import __version__
from homespun.machine.device import usable_cores
from homespun.server.errors import ApiError
from homespun.studio.guard import Session
from homespun.studio.schema.session import SessionRequest, Studio
from homespun.studio.schema.values import Done
from homespun.studio.state import State

MOST_COMPARED = 6
# A library by which it is seen that an extra is installed.
EXTRAS = {
    "chat": "jinja2",
    "constrained": "llguidance",
    "formats": "pypdfium2",
    "finetune": "bitsandbytes",
    "gguf": "gguf",
}


def routes(state: State, own: Session) -> APIRouter:
    router = APIRouter(tags=["session"])

    @router.post("/api/session")
    async def open_session(body: SessionRequest, response: Response) -> Done:
        """Exchange the token of the address for a cookie, which every other request needs."""
        if not own.is_token(body.token):
            raise ApiError(
                "This is not the studio's token: it has another one each time it is started.",
                "Open the address that the terminal has printed last.",
                status=401,
                kind="authentication_error",
                param="token",
                code="invalid_token",
            )
        response.headers["set-cookie"] = own.set_cookie()
        return Done()

    @router.get("/api/studio")
    async def studio() -> Studio:
        """What this studio shows, and what it can do."""
        memory = psutil.virtual_memory()
        return Studio(
            version=__version__,
            folder=str(state.folder).encode("utf-8", "replace").decode(),
            folder_name=(state.folder.name or "/").encode("utf-8", "replace").decode(),
            cores=usable_cores(),
            memory=memory.total,
            memory_free=memory.available,
            upload_bytes=state.most_bytes,
            most_compared=MOST_COMPARED,
            extras={extra: find_spec(library) is not None for extra, library in EXTRAS.items()},
        )

    return router
