"""POST /v1/responses: the newer form of a chat, without a memory. It is translated to a chat and back."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from homespun.server import chat, fields
from homespun.server.answering import Answering, Server, streamed, waiting
from homespun.server.asked import shown
from homespun.server.errors import ApiError, Json
from homespun.server.events import event
from homespun.server.requests import ChatRequest, ResponsesRequest
from homespun.server.tools import Call, Calls, Offer
from homespun.server.written import Piece, chat_logprobs

LOGPROBS = "message.output_text.logprobs"


async def answer(server: Server, body: ResponsesRequest) -> Response:
    answering, offer = await respond(server, body)
    if body.stream:
        return streamed(server, answering, events(Shape(answering, body, offer)), error_name="error")
    return await whole(answering, body, offer)


async def respond(server: Server, body: ResponsesRequest) -> tuple[Answering, Offer | None]:
    """The answer on its way. Raises what chat.complete raises, with the names of the fields of this endpoint."""
    for wanted in body.include or ():
        if wanted != LOGPROBS:
            raise ApiError(f"include asks for {shown(wanted)}.", f"There is: {LOGPROBS}.", param="include")
    chat_body = as_chat(body)
    answering, offer = await chat.complete(server, chat_body, endpoint=fields.RESPONSES, param="input")
    answering.id = f"resp_{uuid.uuid4().hex}"
    return answering, offer


def as_chat(body: ResponsesRequest) -> ChatRequest:
    """The same as a request for a chat. ApiError for what no chat has."""
    own = ("input", "instructions", "max_output_tokens", "include", "text", "tools")
    same = body.model_dump(exclude=set(own), exclude_unset=True, by_alias=True)
    messages = [] if body.instructions is None else [{"role": "system", "content": body.instructions}]
    messages += messages_of(body.input)
    if body.top_logprobs is not None or LOGPROBS in (body.include or ()):
        same["logprobs"] = True
    if body.max_output_tokens is not None:
        same["max_tokens"] = body.max_output_tokens
    if body.tools:
        same["tools"] = [tool_of(tool, f"tools.{place}") for place, tool in enumerate(body.tools)]
    format = (body.text or {}).get("format")
    if format is not None:
        if not isinstance(format, dict):
            raise ApiError(f"text.format is {shown(format)}.", "It is an object.", param="text.format")
        same["response_format"] = format
    try:
        return ChatRequest.model_validate({**same, "messages": messages})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:3]).replace("messages", "input")
        raise ApiError(f"{where}: {first['msg']}.", "", param=where) from None


def messages_of(said: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    return [message_of(item, f"input.{place}") for place, item in enumerate(said)]


def message_of(item: dict[str, Any], param: str) -> dict[str, Any]:
    """A message, a call that the model made, or what came of it."""
    kind = item.get("type", "message")
    if kind == "message":
        return {"role": item.get("role"), "content": item.get("content")}
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments", "")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "function_call_output":
        output = item.get("output")
        content = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        return {"role": "tool", "content": content, "tool_call_id": item.get("call_id")}
    raise ApiError(
        f"{param} is of the type {shown(kind)}.",
        "There are: message, function_call, function_call_output.",
        param=f"{param}.type",
    )


def tool_of(tool: dict[str, Any], param: str) -> dict[str, Any]:
    """A function, which lies flat here and in a "function" of its own in a chat."""
    if tool.get("type") != "function":
        raise ApiError(
            f"{param} is of the type {shown(tool.get('type'))}.",
            "The server has no tools of its own: offer functions.",
            param=f"{param}.type",
        )
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}


# ---- the answer ----


class Shape:
    """An answer as this endpoint writes it."""

    def __init__(self, answering: Answering, body: ResponsesRequest, offer: Offer | None) -> None:
        self.answering = answering
        self.body = body
        self.offer = offer
        self.has_logprobs = answering.texts.asked.requests[0].alternatives is not None
        self.message_id = f"msg_{uuid.uuid4().hex}"

    def response(self, status: str, output: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
        sampling = self.answering.texts.asked.requests[0].sampling
        is_over = status != "in_progress"
        return {
            "id": self.answering.id,
            "object": "response",
            "created_at": self.answering.created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if reason == "length" else None,
            "instructions": self.body.instructions,
            "max_output_tokens": self.body.max_output_tokens,
            "metadata": (self.body.model_extra or {}).get("metadata") or {},
            "model": self.answering.name,
            "output": output,
            "parallel_tool_calls": self.body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "temperature": sampling.temperature,
            "text": self.body.text or {"format": {"type": "text"}},
            "tool_choice": self.body.tool_choice or "auto",
            "tools": self.body.tools or [],
            "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
            "truncation": self.body.truncation or "disabled",
            "usage": self.usage() if is_over else None,
        }

    def usage(self) -> dict[str, Any]:
        usage: dict[str, Any] = self.answering.texts.usage()
        details = {"cached_tokens": 0, "cache_write_tokens": 0, **usage.get("prompt_tokens_details", {})}
        return {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": details,
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        }

    def part(self, piece: Piece) -> dict[str, Any]:
        return {"type": "output_text", "text": piece.text, "annotations": [], "logprobs": self.logprobs(piece)}

    def logprobs(self, piece: Piece) -> list[dict[str, Any]]:
        if not self.has_logprobs:
            return []
        content: list[dict[str, Any]] = chat_logprobs(self.answering.served, piece)["content"]
        return content

    def message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "type": "message",
            "id": self.message_id,
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def call(self, call: Call, status: str) -> dict[str, Any]:
        return {
            "type": "function_call",
            "id": f"fc_{call.id.removeprefix('call_')}",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments if status == "completed" else "",
            "status": status,
        }


async def whole(answering: Answering, body: ResponsesRequest, offer: Offer | None) -> Response:
    shape = Shape(answering, body, offer)
    ((piece, reason),) = await answering.texts.whole()
    text, calls = chat.separated(piece.text, offer)
    status = "incomplete" if reason == "length" else "completed"
    output = [shape.call(call, "completed") for call in calls]
    if text or not calls:
        output.insert(0, shape.message(status, [shape.part(Piece(text, piece.tokens))]))
    return Json(shape.response(status, output, reason), headers=answering.headers)


async def events(shape: Shape) -> AsyncIterator[bytes]:
    """The events of a response, numbered, each under its name."""
    number = 0

    def made(kind: str, **said: Any) -> bytes:
        nonlocal number
        number += 1
        return event({"type": kind, "sequence_number": number - 1, **said}, kind)

    yield made("response.created", response=shape.response("in_progress", []))
    yield made("response.in_progress", response=shape.response("in_progress", []))
    parser = None if shape.offer is None else Calls(shape.offer)
    place = {"item_id": shape.message_id, "output_index": 0, "content_index": 0}
    text, calls, reason = Piece(), [], "stop"
    is_begun = False
    async for news in shape.answering.texts.news():
        if news.index < 0:
            yield waiting(news)
            continue
        piece = news.piece
        found: list[Call] = []
        if parser is not None:
            piece.text, found = parser.take(piece.text, is_last=bool(news.finish_reason))
        calls += found
        reason = news.finish_reason or reason
        if piece.text or (news.finish_reason and not calls):
            if not is_begun:
                is_begun = True
                item = shape.message("in_progress", [])
                yield made("response.output_item.added", output_index=0, item=item)
                yield made("response.content_part.added", **place, part=shape.part(Piece()))
            if piece.text:
                delta = {"delta": piece.text, "logprobs": shape.logprobs(piece)}
                yield made("response.output_text.delta", **place, **delta)
        text += piece
    status = "incomplete" if reason == "length" else "completed"
    output = []
    if is_begun:
        output.append(shape.message(status, [shape.part(text)]))
        done = {"text": text.text, "logprobs": shape.logprobs(text)}
        yield made("response.output_text.done", **place, **done)
        yield made("response.content_part.done", **place, part=shape.part(text))
        yield made("response.output_item.done", output_index=0, item=output[0])
    for call in calls:
        index, item = len(output), shape.call(call, "completed")
        begun = shape.call(call, "in_progress")
        yield made("response.output_item.added", output_index=index, item=begun)
        where = {"item_id": item["id"], "output_index": index}
        yield made("response.function_call_arguments.delta", **where, delta=call.arguments)
        yield made("response.function_call_arguments.done", **where, name=call.name, arguments=call.arguments)
        yield made("response.output_item.done", output_index=index, item=item)
        output.append(item)
    yield made(f"response.{status}", response=shape.response(status, output, reason))
