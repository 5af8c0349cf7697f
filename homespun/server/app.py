"""The application: which address does what."""

from __future__ import annotations

import logging
import re

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from homespun import __version__
from homespun.errors import HomespunError
from homespun.server import chat, completions, embeddings, responses, tokens
from homespun.server.answering import Server
from homespun.server.errors import ApiError, Json, as_api_error
from homespun.server.events import unless_gone
from homespun.server.guard import Guard, Rules
from homespun.server.limited import within
from homespun.server.metrics import CONTENT_TYPE
from homespun.server.requests import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    ResponsesRequest,
    TokenizeRequest,
)

log = logging.getLogger("homespun.serve")
OTHERS = "homespun serve writes text; GET /openapi.json lists what there is."
FIELDS = "docs/serve.md has a table of the fields."
# Which member of a union a value was held against, as pydantic writes it between the names of fields.
MEMBER = re.compile(
    r"(str|int|float|bool|none|dict|list|nullable|literal|constrained|function|is)([\[-].*)?|[A-Z]\w*"
)


def application(server: Server, rules: Rules) -> Guard:
    """The ASGI application."""
    # Pages of documentation would be loaded from elsewhere; docs/serve.md is ours.
    app = FastAPI(title="homespun serve", version=__version__, docs_url=None, redoc_url=None)
    add_errors(app, server)
    add_writing(app, server)
    add_others(app, server)
    return Guard(app, rules)


def add_writing(app: FastAPI, server: Server) -> None:
    @app.post("/v1/completions")
    async def complete(request: Request, body: CompletionRequest) -> Response:
        return await unless_gone(request.receive, completions.answer(server, body), server.left)

    @app.post("/v1/chat/completions")
    async def complete_chat(request: Request, body: ChatRequest) -> Response:
        return await unless_gone(request.receive, chat.answer(server, body), server.left)

    @app.post("/v1/responses")
    async def respond(request: Request, body: ResponsesRequest) -> Response:
        return await unless_gone(request.receive, responses.answer(server, body), server.left)

    @app.post("/v1/embeddings")
    async def embed(request: Request, body: EmbeddingRequest) -> Response:
        return await unless_gone(request.receive, embeddings.answer(server, body), server.left)


def add_others(app: FastAPI, server: Server) -> None:
    @app.get("/v1/models")
    async def models() -> Response:
        return Json({"object": "list", "data": server.models.describe()})

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        return Json(server.models.entry(name).describe(name))

    @app.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> Response:
        served = await server.models.get(body.model)
        return Json(await within(lambda: tokens.tokenize(served, body), what="Reading the text"))

    @app.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> Response:
        served = await server.models.get(body.model)
        return Json(await within(lambda: tokens.detokenize(served, body), what="Writing the text"))

    @app.get("/tokenizer_info")
    async def tokenizer_info(model: str | None = None) -> Response:
        return Json(tokens.info(await server.models.get(model)))

    @app.get("/health")
    async def health() -> Response:
        if server.is_stopping:
            raise ApiError("The server is being stopped.", status=503, kind="server_error", code="stopping")
        if server.is_loading:
            raise ApiError(
                "The model is being loaded.",
                "Requests wait until it is there.",
                status=503,
                kind="server_error",
                code="loading",
                headers={"retry-after": "1"},
            )
        return Json({"status": "ok"})

    @app.get("/version")
    async def version() -> Response:
        return Json({"version": __version__})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(server.metrics.text(server.models.loaded), media_type=CONTENT_TYPE)


def add_errors(app: FastAPI, server: Server, *, others: str = OTHERS, fields: str = FIELDS) -> None:
    """Everything that goes wrong, in one envelope. others, fields: where all addresses and fields are listed."""

    def refused(error: ApiError) -> Response:
        server.metrics.refusals.labels(str(error.status)).inc()
        return error.response()

    @app.exception_handler(HomespunError)
    async def known(request: Request, error: HomespunError) -> Response:
        return refused(as_api_error(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return refused(of_validation(error, fields))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        path, method = request.url.path[:200], request.method
        if error.status_code == 404:
            return refused(ApiError(f"There is nothing at {path}.", others, status=404, code="not_found"))
        if error.status_code == 405:
            headers = dict(error.headers or {})
            problem = ApiError(f"{path} has no method {method}.", others, status=405, headers=headers)
            return refused(problem)
        return refused(ApiError(str(error.detail), status=error.status_code))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return refused(as_api_error(error))


def of_validation(error: RequestValidationError, fields: str = FIELDS) -> ApiError:
    """What pydantic found, as one sentence about one field."""
    problems = error.errors()
    # Of a union every member says what it has against a value: one that only wants another type says least.
    first = next((problem for problem in problems if not problem["type"].endswith("_type")), problems[0])
    if first["type"] == "json_invalid":
        return ApiError(
            f"The body is no JSON: {first.get('ctx', {}).get('error', first['msg'])}.", code="invalid_json"
        )
    field, *inner = [str(part) for part in first["loc"][1:]] or [""]
    place = [field, *(part for part in inner if not MEMBER.fullmatch(part))]
    param = ".".join(place) or None
    same = [problem for problem in problems if problem["loc"][:2] == first["loc"][:2]]
    reasons = [problem["msg"] for problem in same] if first["type"].endswith("_type") else [first["msg"]]
    what = "; or ".join(list(dict.fromkeys(reasons))[:3])
    return ApiError(f"{param or 'The body'}: {what}.", fields, param=param)
