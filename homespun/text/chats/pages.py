"""Chats exported as pages: Telegram's messages.html, Meta's message_1.html, Discord's; and the XML of phones'
messages.

The names of the classes decide. What is no such page is read as any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from homespun.text.chats.message import Chat, from_timestamp
from homespun.text.chats.stamps import STAMP, Stamp

HEAD = 2**17  # bytes by which a page is taken for a chat: styles stand before the first message


def reader_for(head: bytes) -> Callable[[Any], Chat] | None:
    """What reads a page that begins so; None where it is no chat."""
    if b'class="message default' in head and (b'class="from_name"' in head or b"chat_page" in head):
        return telegram
    if b"_a6-g" in head and b"_a6-p" in head:
        return meta
    return discord if b"chatlog__message" in head else None


def _has(element: Any, name: str) -> bool:
    return name in (element.get("class") or "").split()


def _below(root: Any, name: str) -> Iterator[Any]:
    return (element for element in root.iter() if isinstance(element.tag, str) and _has(element, name))


def _text(element: Any) -> str:
    """The text of an element, a line for each <br>."""
    if element is None:
        return ""
    parts = []
    for event, inner in _walk(element):
        if event == "start":
            parts.append("\n" if inner.tag == "br" else "")
            parts.append(inner.text or "")
        elif inner is not element:
            parts.append(inner.tail or "")
    return "\n".join(" ".join(line.split()) for line in "".join(parts).split("\n")).strip()


def _walk(element: Any) -> Iterator[tuple[str, Any]]:
    from lxml import etree

    return etree.iterwalk(element, events=("start", "end"))


def telegram(root: Any) -> Chat:
    """Messages without a name are of whoever wrote the one before."""
    chat = Chat("Telegram")
    title = next(_below(root, "page_header"), None)
    chat.name = _text(title)
    who = ""
    for message in _below(root, "message"):
        if not _has(message, "default"):
            chat.leave_out("service")
            continue
        body = next(_below(message, "body"), message)
        own = [element for element in body if isinstance(element.tag, str)]
        name = next((element for element in own if _has(element, "from_name")), None)
        who = _text(name) or who
        text = next((element for element in own if _has(element, "text")), None)
        date = next(_below(body, "date"), None)
        found = (
            re.match(r"(\d\d)\.(\d\d)\.(\d{4}) (\d\d):(\d\d):(\d\d)", date.get("title") or "")
            if date is not None
            else None
        )
        day, month, year, *clock = map(int, found.groups()) if found else (0, 0, 0, 0, 0, 0)
        chat.add(who, _text(text), _moment(year, month, day, *clock))
    return chat


def meta(root: Any) -> Chat:
    """Newest first, as in Meta's JSON."""
    chat = Chat("Messenger")
    for message in _below(root, "_a6-g"):
        who, body = next(_below(message, "_a6-h"), None), next(_below(message, "_a6-p"), None)
        date = next(_below(message, "_a6-o"), None)
        found = re.match(STAMP, _text(date))
        if who is None or body is None:
            continue
        chat.add(_text(who), _text(body), Stamp.of(found).time(day_first=False) if found else None)
    chat.messages.reverse()
    chat.sort()
    return chat


def discord(root: Any) -> Chat:
    """Groups of messages by one author."""
    chat = Chat("Discord")
    for group in _below(root, "chatlog__message-group"):
        named = (*_below(group, "chatlog__author"), *_below(group, "chatlog__author-name"))
        author = named[0] if named else None
        who = _text(author)
        for content in _below(group, "chatlog__content"):
            chat.add(who, _text(content))
        for notice in _below(group, "chatlog__system-notification-content"):
            if _text(notice):
                chat.leave_out("service")
    return chat


def phone(root: Any) -> Chat | None:
    """What SMS Backup & Restore writes; None for any other XML."""
    if root.tag != "smses":
        return None
    chat = Chat("SMS")
    for sms in root.iter("sms", "mms"):
        other = sms.get("contact_name") or ""
        other = other if other and other != "(Unknown)" else sms.get("address") or ""
        outgoing = (sms.get("type") or sms.get("msg_box")) == "2"
        text = sms.get("body")
        if text is None:
            parts = [
                part.get("text") for part in sms.iter("part") if (part.get("ct") or "").startswith("text/plain")
            ]
            text = "\n".join(part for part in parts if part)
        chat.add("Me" if outgoing else other, text, from_timestamp(sms.get("date"), 1000))
    chat.sort()
    return chat


def _moment(year: int, month: int, day: int, hour: int, minute: int, second: int) -> datetime | None:
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
