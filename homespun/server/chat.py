"""POST /v1/chat/completions: for models that have a chat template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from homespun.server import fields, tools
from homespun.server.answering import Answering, Server, chunks, constraint, slides, streamed, within_limits
from homespun.server.asked import asked_for
from homespun.server.conversation import chat_of, plain, rendered
from homespun.server.errors import ApiError, Json
from homespun.server.limited import within
from homespun.server.requests import ChatRequest
from homespun.server.texts import News, Texts
from homespun.server.tools import Call, Calls, Offer
from homespun.server.written import Piece, chat_logprobs


async def answer(server: Server, body: ChatRequest) -> Response:
    answering, offer = await complete(server, body)
    if body.stream:
        return stream(server, answering, body, offer)
    return await whole(answering, body, offer)


async def complete(
    server: Server, body: ChatRequest, *, endpoint: str = fields.CHAT, param: str = "messages"
) -> tuple[Answering, Offer | None]:
    """The answers, on their way; everything that can be wrong with the request is raised here."""
    headers = server.checked_fields(endpoint, body)
    served = await server.models.get(body.model)
    chat = chat_of(served)
    n = within_limits(server, body.n)
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(
            "top_logprobs is for requests with logprobs: true.", "Send both, or neither.", param="top_logprobs"
        )
    slide = slides(server, body)
    said = [tool.model_dump(exclude_none=True) for tool in body.tools or ()]
    offer = tools.offer_of(served, said, body.tool_choice, body.parallel_tool_calls)
    messages = plain(body.messages, param)
    prompt = await within(
        lambda: rendered(served, messages, offer, slides=slide, param=param), what="Rendering the messages"
    )
    limits = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    room = served.context_length - prompt.seen + 1
    forced = None
    if offer is not None and offer.forced:
        forced = await within(lambda: tools.constraint_of(served, offer), what="Building the grammar")
    held = await constraint(served, body)
    if forced is not None and held is not None:
        raise ApiError(
            "response_format and tool_choice both say what the answer is.",
            "Give one of them.",
            param="tool_choice",
        )
    asked = asked_for(
        served,
        body,
        [prompt],
        most_tokens=min(limits or [room]),
        n=n,
        slides=slide,
        alternatives=(body.top_logprobs or 0) if body.logprobs else None,
        constraint=forced or held,
        stop_ids=sorted(chat.ends),
    )
    server.log_prompts([prompt])
    texts = Texts(server.engines, server.metrics, served, asked)
    await texts.begin(server.options.queue)
    return Answering("chatcmpl", served, body.model or served.id, texts, {**headers, **asked.headers}), offer


async def whole(answering: Answering, body: ChatRequest, offer: Offer | None) -> Response:
    texts = await answering.texts.whole()
    choices = [whole_choice(answering, body, offer, index, *text) for index, text in enumerate(texts)]
    head = answering.head("chat.completion")
    return Json({**head, "choices": choices, "usage": answering.texts.usage()}, headers=answering.headers)


def whole_choice(
    answering: Answering, body: ChatRequest, offer: Offer | None, index: int, piece: Piece, reason: str
) -> dict[str, Any]:
    text, found = separated(piece.text, offer)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if found:
        message |= {"content": text or None, "tool_calls": [call.as_chat() for call in found]}
    return {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(answering.served, piece) if body.logprobs else None,
        "finish_reason": "tool_calls" if found else reason,
    }


def separated(text: str, offer: Offer | None) -> tuple[str, list[Call]]:
    """The text, and the calls that are in it."""
    if offer is None:
        return text, []
    shown, found = Calls(offer).take(text, is_last=True)
    return shown.rstrip("\n") if found else shown, found


def stream(server: Server, answering: Answering, body: ChatRequest, offer: Offer | None) -> Response:
    count = len(answering.texts.works)
    parsers = [Calls(offer) for _ in range(count)] if offer is not None else []

    def choice(
        index: int, delta: dict[str, Any], reason: str | None = None, piece: Piece | None = None
    ) -> dict[str, Any]:
        logprobs = chat_logprobs(answering.served, piece) if body.logprobs and piece is not None else None
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    def choices(news: News) -> Iterator[dict[str, Any]]:
        text, number = news.piece.text, 0
        found: list[Call] = []
        if parsers:
            parser = parsers[news.index]
            number = parser.count
            text, found = parser.take(text, is_last=bool(news.finish_reason))
        if text or news.piece.tokens:
            yield choice(news.index, {"content": text} if text else {}, piece=news.piece)
        for place, call in enumerate(found, start=number):
            yield choice(news.index, {"tool_calls": [{"index": place, **call.as_chat()}]})
        if news.finish_reason:
            called = bool(parsers and parsers[news.index].count)
            yield choice(news.index, {}, "tool_calls" if called else news.finish_reason)

    first = [choice(index, {"role": "assistant", "content": "", "refusal": None}) for index in range(count)]
    return streamed(server, answering, chunks(answering, body, "chat.completion.chunk", choices, first))
