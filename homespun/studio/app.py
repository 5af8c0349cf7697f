"""The application: the studio's addresses, and those of the models (as homespun serve has them)."""

from __future__ import annotations

from fastapi import FastAPI

from homespun import __version__
from homespun.studio.routes import acts, inside, runs, session, texts
from homespun.studio.schema.values import Problem
from homespun.studio.state import State

ABOUT = "Every request but the exchange of the token needs the session's cookie. What goes wrong is a Problem."


def application(state: State) -> FastAPI:
    # Pages of documentation would be loaded from elsewhere; web/studio/schema.json is the schema.
    app = FastAPI(
        title="homespun studio",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": Problem}},
        generate_unique_id_function=lambda route: route.name,
    )
    for part in (session, runs, texts, acts, inside):
        app.include_router(part.routes(state))
    return app
