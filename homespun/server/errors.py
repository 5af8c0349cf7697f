"""One envelope for everything that can go wrong: {"error": {"message", "type", "param", "code"}}, as OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from starlette.responses import Response

from homespun.errors import CheckpointError, DeviceError, DownloadFailed, HomespunError, MissingExtra

INVALID = "invalid_request_error"
MOST_CHARACTERS = 2000  # of a message: what a client sent may be in it


class ApiError(HomespunError):
    """A request that is not answered.

    status   of HTTP
    kind     OpenAI's `type`: invalid_request_error, authentication_error, permission_error, rate_limit_error,
             server_error
    param    the field that is wrong, such as "messages.1.content"
    code     for programs, such as "model_not_found"
    """

    def __init__(
        self,
        what: str,
        todo: str = "",
        *,
        status: int = 400,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, todo)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        message = " ".join(part for part in (self.what, self.todo) if part)[:MOST_CHARACTERS]
        return {"error": {"message": message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        return Json(self.body(), self.status, self.headers)


class Json(Response):
    """A JSON answer. A lone surrogate, which no UTF-8 has, becomes a question mark."""

    media_type = "application/json"

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(encoded(content), status, dict(headers or {}))


def encoded(content: Any) -> bytes:
    """As JSON in UTF-8, without a NaN or an infinity, which no JSON has."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def as_api_error(error: BaseException, param: str | None = None) -> ApiError:
    """What a client is told of an error. A bug of ours is a 500 that says nothing of the inside."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, (CheckpointError, DeviceError, DownloadFailed, MissingExtra)):
        headers = {"x-should-retry": "false"}  # it would go wrong in the same way
        return ApiError(
            error.what, error.todo, status=500, kind="server_error", code="model_unusable", headers=headers
        )
    if isinstance(error, HomespunError):
        return ApiError(error.what, error.todo, param=param)
    return ApiError(
        "The server failed in a way that it should not.",
        "Its log says where; please report it.",
        status=500,
        kind="server_error",
        headers={"x-should-retry": "false"},
    )


@contextmanager
def about(param: str) -> Iterator[None]:
    """Errors of homespun's within name that field."""
    try:
        yield
    except HomespunError as error:
        raise as_api_error(error, param) from error


def stopping() -> ApiError:
    return ApiError(
        "The server is being stopped.",
        "Ask again when it is back.",
        status=503,
        kind="server_error",
        code="stopping",
    )
