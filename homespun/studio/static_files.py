"""The built page: files with fixed names, read once, told apart by their content (ETag)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from homespun.server.errors import ApiError

STATIC = Path(__file__).with_name("static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    type: str
    tag: str


class StaticFiles:
    """The files of a folder, by their path: "/" is the page."""

    def __init__(self, folder: Path = STATIC) -> None:
        self.folder = folder
        self.files: dict[str, StaticFile] = {}
        for path in sorted(folder.glob("*")):
            if path.suffix in TYPES and path.is_file():
                content = path.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                name = "/" if path.name == PAGE else f"/{path.name}"
                self.files[name] = StaticFile(content, TYPES[path.suffix], tag)

    def has(self, path: str) -> bool:
        return path == "/" or path in self.files

    def answer(self, path: str, request: Request) -> Response:
        """The file; 304 where the browser has it. Raises ApiError where the page was not built."""
        if not self.has(path):
            raise ApiError(f"There is nothing at {path[:200]}.", status=404, code="not_found")
        if path not in self.files:
            raise ApiError(
                "The studio's page is not in this installation.",
                "It is built from web/ into homespun/studio/static:  make page",
                status=503,
                kind="server_error",
                code="no_page",
            )
        file = self.files[path]
        # The browser asks each time whether it still has the right one: an update of homespun is seen at once.
        headers = {"etag": file.tag, "cache-control": "no-cache", "content-security-policy": POLICY}
        if file.tag in (
            tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")
        ):
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.type, headers=headers)
