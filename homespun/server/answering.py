"""What all endpoints that write have in common: the server, an answer on its way, limits that are options."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from homespun.server import fields
from homespun.server.asked import Prompt, constraint_of
from homespun.server.engines import Engines
from homespun.server.errors import ApiError, stopping
from homespun.server.events import DONE, EventStream, comment, event
from homespun.server.limited import within
from homespun.server.metrics import Metrics
from homespun.server.models import Models
from homespun.server.options import Options
from homespun.server.requests import Parameters, Sampled, TextParameters
from homespun.server.served import Served
from homespun.server.texts import News, Texts

if TYPE_CHECKING:
    from homespun.generation.constraint import Constraint

log = logging.getLogger("homespun.serve")


@dataclass
class Server:
    """All that a request needs.

    is_stopping  no new requests are taken
    is_loading   the first model is not there yet
    """

    models: Models
    engines: Engines
    metrics: Metrics
    options: Options
    is_stopping: bool = False
    is_loading: bool = False

    def checked_fields(self, endpoint: str, body: Parameters) -> dict[str, str]:
        """The header that names what was ignored. ApiError for refused fields, and while the server stops."""
        if self.is_stopping:
            raise stopping()
        unknown = fields.unknown_in(endpoint, body.model_extra or {})
        if not unknown:
            return {}
        if self.options.strict:
            raise ApiError(
                f"There is no parameter {unknown[0][:100]!r}.",
                "Leave it out, or start the server without --strict: it is ignored then.",
                param=unknown[0][:100],
                code="unknown_parameter",
            )
        names = ",".join(name[:60].encode("ascii", "replace").decode() for name in unknown[:20])
        safe = "".join(character if character.isprintable() else "?" for character in names)
        log.info("ignored: %s", safe)
        return {"x-homespun-ignored": safe}

    def log_prompts(self, prompts: list[Prompt]) -> None:
        if self.options.log_prompts:
            for prompt in prompts:
                log.info("prompt: %r", prompt.text)

    def left(self) -> None:
        """A client left before its answer was whole."""
        self.metrics.disconnects.inc()


@dataclass
class Answering:
    """An answer on its way. kind: the beginning of its id. name: what the client called the model."""

    kind: str
    served: Served
    name: str
    texts: Texts
    headers: Mapping[str, str]
    created: int = field(default_factory=lambda: int(time.time()))
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or f"{self.kind}-{uuid.uuid4().hex}"

    def head(self, object: str) -> dict[str, Any]:
        """What every chunk of it begins with."""
        return {
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.name,
            "system_fingerprint": self.served.fingerprint,
        }


def within_limits(server: Server, n: int | None) -> int:
    if n is not None and n > server.options.most_n:
        raise ApiError(
            f"n is {n}; this server writes at most {server.options.most_n} texts a prompt.",
            "Ask for fewer, or start it with --most-n.",
            param="n",
        )
    return n or 1


def slides(server: Server, body: TextParameters) -> bool:
    """Whether a prompt may be cut and a text may go on beyond the context."""
    return server.options.slides if body.truncation is None else body.truncation == "auto"


async def constraint(served: Served, body: TextParameters) -> Constraint | None:
    """What the text may be. Building it may take long: a schema is a program, in a way."""
    if body.structured_outputs is None and getattr(body, "response_format", None) is None:
        return None
    return await within(lambda: constraint_of(served, body), what="Building the grammar")


# ---- streams ----


def streamed(
    server: Server, answering: Answering, events: AsyncIterator[bytes], error_name: str | None = None
) -> Response:
    """The answer as it comes; whoever leaves ends it."""
    return EventStream(
        events, left=server.left, stop=answering.texts.stop, headers=answering.headers, name=error_name
    )


async def chunks(
    answering: Answering,
    body: Sampled,
    object: str,
    choices: Callable[[News], Iterable[dict[str, Any]]],
    first: Iterable[dict[str, Any]] = (),
) -> AsyncIterator[bytes]:
    """A chunk for each choice: `first`, then what `choices` makes of the news. The last one has the usage, where
    it is asked for; those before it say then that they have none."""
    tells_usage = bool(body.stream_options and body.stream_options.include_usage)
    head = answering.head(object) | ({"usage": None} if tells_usage else {})
    for choice in first:
        yield event({**head, "choices": [choice]})
    async for news in answering.texts.news():
        if news.index < 0:
            yield waiting(news)
            continue
        for choice in choices(news):
            yield event({**head, "choices": [choice]})
    if tells_usage:
        yield event({**head, "choices": [], "usage": answering.texts.usage()})
    yield DONE


def waiting(news: News) -> bytes:
    return comment(f"waiting, {news.before} before you" if news.before else "writing")
