"""Serve a model over HTTP, in the form of OpenAI's API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from homespun.errors import MissingExtra, UsageError

OVERFLOWS = ("refuse", "slide")


@dataclass(frozen=True)
class Serving:
    """A server that listens.

    url      without /v1; "unix:PATH" where it is a socket file
    models   the names that clients may ask for
    key      what clients have to send; None where nobody has to
    chats    whether the first model is loaded and has a chat template
    """

    url: str
    models: tuple[str, ...]
    key: str | None
    chats: bool


def serve(
    model: str | Path,
    *,
    names: Iterable[str] = (),
    adapters: Mapping[str, str | Path] | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    socket_file: str | Path | None = None,
    api_key: str | None = None,
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
    streams: int = 16,
    queue: int = 256,
    most_n: int = 16,
    overflow: str = "refuse",
    strict: bool = False,
    log_prompts: bool = False,
    weights: str = "auto",
    device: str = "auto",
    ready: Callable[[Serving], None] = lambda serving: None,
) -> None:
    """Serve a model, or all models of a folder, until the process is interrupted.

    names: what clients call it besides its folder's name. adapters: names and folders of adapters over it.
    port: None is 8000, or a free one where that is taken. api_key: None makes one for a host beyond this computer.
    streams, queue: texts that are written at once, and that may wait. overflow: "refuse" or "slide", for prompts
    beyond the context. ready: called once the server listens; docs/serve.md explains the rest.
    Raises UsageError, CheckpointError, WriteFailed, MissingExtra.
    """
    try:
        from homespun.server import serving
        from homespun.server.guard import Rules
        from homespun.server.models import entries_of
        from homespun.server.options import Options
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("homespun"):
            raise
        raise MissingExtra("homespun serve", "serve") from error

    if overflow not in OVERFLOWS:
        raise UsageError(f"overflow is {overflow!r}.", f"It is one of: {', '.join(OVERFLOWS)}.")
    address = serving.Address(host, port, None if socket_file is None else Path(socket_file))
    origins = frozenset(map(checked_origin, allowed_origins))
    key = serving.key_for(address, api_key, sorted(origins))
    folders = {name: Path(path).expanduser() for name, path in (adapters or {}).items()}
    entries = entries_of(str(model), list(names), folders)
    with serving.listening(address) as sockets:
        bound = None if address.socket_file else int(sockets[0].getsockname()[1])
        url = f"http://{serving.shown_host(address)}:{bound}" if bound else f"unix:{address.socket_file}"
        own = serving.own_names(address)

        def tell(process: serving.Process) -> None:
            loaded = process.server.models.loaded
            chats = bool(loaded and loaded[0].chat is not None)
            ready(Serving(url, tuple(name for entry in entries for name in entry.all_names()), key, chats))

        serving.run(
            entries,
            sockets,
            settings={
                "weights": weights,
                "device": device,
                "streams": streams,
                "most_waiting": streams + queue,
                "wait": True,
            },
            options=Options(queue, most_n, overflow == "slide", strict, log_prompts),
            rules=Rules(bound, frozenset(name.lower() for name in (*allowed_hosts, *own)), origins, key),
            load_first=len(entries) == 1,
            ready=tell,
        )


def checked_origin(given: str) -> str:
    """As browsers write it. Raises UsageError for what no browser would send.

    >>> checked_origin("https://Notes.example")
    'https://notes.example'
    """
    parts = urlsplit(given)
    is_origin = parts.scheme in ("http", "https") and parts.netloc and given == f"{parts.scheme}://{parts.netloc}"
    if given != "*" and not is_origin:
        raise UsageError(
            f"{given!r} is no origin that can be allowed.",
            "It is written https://name or http://name:port, without a path; null is never allowed.",
        )
    return given.lower()
