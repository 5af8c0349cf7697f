"""The application: the page, the studio's addresses, and those of the models (as homespun serve has them)."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from homespun import __version__
from homespun.server.app import add_errors, add_others, add_writing
from homespun.server.guard import Rules
from homespun.studio.guard import Session, StudioGuard
from homespun.studio.routes import acts, inside, measured, runs, session, texts
from homespun.studio.schema.values import Problem
from homespun.studio.state import State
from homespun.studio.static_files import StaticFiles

ABOUT = "Every request but the exchange of the token needs the session's cookie. What goes wrong is a Problem."
OTHERS = "web/studio/schema.json lists what there is."


def guarded(state: State, rules: Rules) -> StudioGuard:
    """The whole application behind its rules."""
    files = StaticFiles(state.static)
    own = Session(state.token, state.secret, f"homespun-studio-{rules.port or 0}", files.has)
    app = application(state, own)
    add_errors(app, state.server, others=OTHERS, fields=OTHERS)
    add_writing(app, state.server)
    add_others(app, state.server)

    @app.get("/{path:path}", include_in_schema=False)
    async def page(path: str, request: Request) -> Response:
        return files.answer(f"/{path}", request)

    return StudioGuard(app, rules, own)


def application(state: State, own: Session) -> FastAPI:
    """The studio's own addresses."""
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
    app.include_router(session.routes(state, own))
    for part in (runs, texts, acts, inside, measured):
        app.include_router(part.routes(state))
    return app
