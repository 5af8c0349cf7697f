"""POST /v1/completions: text that goes on from a prompt, which is what most models here do."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from homespun.server import fields
from homespun.server.answering import Answering, Server, chunks, constraint, slides, streamed, within_limits
from homespun.server.asked import DEFAULT_TOKENS, Prompt, asked_for, prompts_of
from homespun.server.errors import Json
from homespun.server.limited import within
from homespun.server.requests import CompletionRequest
from homespun.server.served import Served
from homespun.server.texts import News, Texts
from homespun.server.written import Piece, legacy_logprobs

SHORT = 10_000  # characters


async def answer(server: Server, body: CompletionRequest) -> Response:
    answering = await complete(server, body)
    if not body.stream:
        return await whole(answering, body)

    def choices(news: News) -> list[dict[str, Any]]:
        return [choice(answering, body, news.index, news.piece, news.finish_reason)]

    return streamed(server, answering, chunks(answering, body, "text_completion", choices))


async def complete(server: Server, body: CompletionRequest) -> Answering:
    """The texts, on their way; everything that can be wrong with the request is raised here."""
    headers = server.checked_fields(fields.COMPLETIONS, body)
    served = await server.models.get(body.model)
    n = within_limits(server, body.n)
    slide = slides(server, body)
    prompts = await read(served, body.prompt, slide)
    echo = bool(body.echo)
    asked = asked_for(
        served,
        body,
        prompts,
        most_tokens=DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens,
        n=n,
        slides=slide,
        alternatives=body.logprobs,
        prompt_alternatives=body.logprobs if echo else None,
        constraint=await constraint(served, body),
    )
    server.log_prompts(prompts)
    texts = Texts(server.engines, server.metrics, served, asked, shows_prompt=echo)
    await texts.begin(server.options.queue)
    return Answering("cmpl", served, body.model or served.id, texts, {**headers, **asked.headers})


async def read(served: Served, prompt: Any, slide: bool) -> list[Prompt]:
    """The prompts as ids. A short one is read here, since a thread would take longer than it."""
    if isinstance(prompt, str) and len(prompt) <= SHORT:
        return prompts_of(served, prompt, slides=slide)
    return await within(lambda: prompts_of(served, prompt, slides=slide), what="Reading the prompt")


def choice(
    answering: Answering, body: CompletionRequest, index: int, piece: Piece, reason: str | None
) -> dict[str, Any]:
    return {
        "index": index,
        "text": piece.text,
        "logprobs": None if body.logprobs is None else legacy_logprobs(answering.served, piece),
        "finish_reason": reason,
    }


async def whole(answering: Answering, body: CompletionRequest) -> Response:
    texts = await answering.texts.whole()
    choices = [choice(answering, body, index, piece, reason) for index, (piece, reason) in enumerate(texts)]
    head = answering.head("text_completion")
    return Json({**head, "choices": choices, "usage": answering.texts.usage()}, headers=answering.headers)
