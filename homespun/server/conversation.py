"""A client's messages as the model's chat template takes them, and rendered to ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from homespun.server.asked import Prompt, fitted
from homespun.server.errors import ApiError, about
from homespun.server.requests import Message, Part
from homespun.server.served import Served
from homespun.server.tools import Offer

TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


def chat_of(served: Served) -> Any:
    """ApiError where the model has no chat template that can be used."""
    if served.chat is None:
        raise ApiError(
            served.without_chat or "This model has no chat template.", param="model", code="no_chat_template"
        )
    return served.chat


def plain(messages: Sequence[Message], param: str = "messages") -> list[dict[str, Any]]:
    """Strings and lists, as templates know them."""
    return [plain_message(message, f"{param}.{place}") for place, message in enumerate(messages)]


def plain_message(message: Message, param: str) -> dict[str, Any]:
    role = "system" if message.role == "developer" else message.role
    made: dict[str, Any] = {"role": role, "content": content_of(message.content, f"{param}.content")}
    if message.content is None and not message.tool_calls and message.role != "assistant":
        raise ApiError(f"{param} has no content.", "Send a string.", param=f"{param}.content")
    if message.tool_calls:
        made["tool_calls"] = [
            {
                "type": "function",
                "id": call.id,
                "function": {"name": call.function.name, "arguments": arguments_of(call.function.arguments)},
            }
            for call in message.tool_calls
        ]
    for name in ("name", "tool_call_id", "reasoning_content"):
        if getattr(message, name) is not None:
            made[name] = getattr(message, name)
    return made


def content_of(content: str | Sequence[Part] | None, param: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(text_of(part, f"{param}.{place}") for place, part in enumerate(content))


def text_of(part: Part, param: str) -> str:
    text = part.refusal if part.type == "refusal" else part.text
    if part.type not in TEXT_PARTS or text is None:
        raise ApiError(
            f"A part of a message is of the type {part.type!r}.",
            "The models here read text: send parts of the type text.",
            param=param,
        )
    return text


def arguments_of(text: str) -> Any:
    """Templates write arguments as JSON themselves: of a string they would write a string."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text


def rendered(
    served: Served, messages: list[dict[str, Any]], offer: Offer | None, *, slides: bool, param: str = "messages"
) -> Prompt:
    """The prompt of the answer. A last message of the assistant is what the answer goes on from."""
    chat = chat_of(served)
    begun = ""
    if messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls"):
        *messages, last = messages
        begun = last["content"]
        if messages and messages[-1]["role"] == "assistant":
            raise ApiError(
                "The last two messages are both the assistant's.",
                "The last one is continued: join them into one.",
                param=f"{param}.{len(messages)}",
            )
        if not messages:
            raise ApiError("There is no message but one of the assistant's.", "Send a user's first.", param=param)
    names: Mapping[str, Any] = {} if offer is None else {"tools": [dict(tool) for tool in offer.tools]}
    with about(param):
        ids = chat.encode(messages, answer=True, **names)
        if begun:
            ids += served.tokenizer.encode(begun)
        text = served.tokenizer.decode(ids) if ids else ""
    if not ids:
        raise ApiError("The chat template makes nothing of these messages.", "Send some text.", param=param)
    return fitted(served, ids, text, 0, param, slides=slides)
