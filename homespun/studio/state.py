"""All that the studio's routes need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from homespun.server.errors import ApiError


@dataclass
class State:
    """folder: the one that the studio shows; nothing outside of it is read or written, but the cache."""

    folder: Path


def later() -> ApiError:
    return ApiError("This version of the studio cannot do that yet.", status=501, kind="server_error")
