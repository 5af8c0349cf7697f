"""The studio in the browser, as a function."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from homespun.errors import MissingExtra, UsageError

PORT = 8377


@dataclass(frozen=True)
class OpenStudio:
    """A studio that listens.

    url       to be opened in a browser: with the token, behind #
    address   without it
    token     as a key for programs: Authorization: Bearer TOKEN
    """

    url: str
    address: str
    token: str


def open_studio(
    folder: str | Path = ".",
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    allowed_hosts: Iterable[str] = (),
    ready: Callable[[OpenStudio], None] = lambda studio: None,
    is_alone: bool = False,
) -> None:
    """Serve the studio over the runs of a folder until the process is interrupted. Trainings go on after that.

    port: None is 8377, or a free one where that is taken. allowed_hosts: names that it may be called by beside its
    address. ready: called once it listens. is_alone: the process is the studio's, and computes at low priority.
    Raises UsageError, MissingExtra, WriteFailed.
    """
    try:
        from homespun.server import serving as sockets_of
        from homespun.server.guard import Rules
        from homespun.studio import serving
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("homespun"):
            raise
        raise MissingExtra("homespun studio", "studio") from error

    place = Path(folder).expanduser()
    if not place.is_dir():
        raise UsageError(f"{folder} is no folder.", "Name the folder that has your runs, or will have them.")
    address = sockets_of.Address(host, port, usual=PORT)
    with sockets_of.listening(address) as listening:
        bound = int(listening[0].getsockname()[1])
        token = secrets.token_urlsafe(24)
        url = f"http://{sockets_of.shown_host(address)}:{bound}/"
        names = frozenset(name.lower() for name in (*allowed_hosts, *sockets_of.own_names(address)))
        serving.run(
            place,
            listening,
            rules=Rules(bound, names),
            token=token,
            ready=lambda process: ready(OpenStudio(f"{url}#token={token}", url, token)),
            is_alone=is_alone,
        )
