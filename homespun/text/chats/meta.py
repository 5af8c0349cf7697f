"""Messenger and Instagram, as Meta's archives have them: newest first, UTF-8 written as Latin-1 characters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from homespun.text.chats.message import Chat, from_timestamp, repaired

# What these apps write in a person's name.
_BY_ITSELF = "|".join(
    (
        r"sent an? (?:attachment|photo|video|GIF|sticker|location|link|voice message)",
        r"reacted .{1,12} to your message",
        r"liked a message",
        r"missed (?:a|your) (?:video )?(?:call|chat).*",
        r"called you",
        r"started (?:a|an) (?:video |audio )?(?:call|chat)",
        r"joined the (?:video )?(?:call|chat)",
        r"ended the call",
        r"unsent a message",
        r"named the group .*",
        r"changed the .*",
        r"set (?:the|his|her|their|your) .*(?:nickname|emoji|reaction).*",
        r"added .{1,80} to the group",
        r"left the group",
        r"created the group",
    )
)
_NOTICES = re.compile(
    rf"\S.{{0,60}} (?:{_BY_ITSELF})\.?\s*|(?:Liked|Reacted .{{1,12}} to) (?:a|your) message\s*", re.IGNORECASE
)


def is_meta(whole: Mapping[str, Any], sample: list) -> bool:
    return any("sender_name" in message or "senderName" in message for message in sample)


def chat_of(whole: Mapping[str, Any], messages: list) -> Chat:
    """The messages of one thread."""
    path = _text(whole.get("thread_path"))
    shared = any("instagram" in str(message.get("share") or "") for message in messages)
    chat = Chat("Instagram" if "instagram" in path or shared else "Messenger")
    chat.name = repaired(_text(whole.get("threadName")))
    for message in messages:
        what = repaired(_text(message.get("content", message.get("text"))))
        who = repaired(_text(message.get("sender_name") or message.get("senderName")))
        when = from_timestamp(message.get("timestamp_ms", message.get("timestamp")), 1000)
        is_unsent = message.get("is_unsent") or message.get("isUnsent")
        if is_unsent or message.get("call_duration") is not None or _NOTICES.fullmatch(what):
            chat.leave_out("service")
        else:
            chat.add(who, what, when)
    times = [message.when for message in chat.messages if message.when is not None]
    if times and times[0] > times[-1]:
        chat.messages.reverse()  # so that the sort, which keeps the order of equal times, has them right
    chat.sort()
    return chat


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
