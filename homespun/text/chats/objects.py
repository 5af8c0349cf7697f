"""Chats exported as JSON: Telegram, Messenger, Instagram, Discord, Slack, Skype, Google Chat, Matrix, and others
whose messages say who sent what.

The names of the fields decide. Messages with a `role` are conversations for fine-tuning, and no chat.

>>> [chat] = chats_in({"messages": [{"sender_name": "Anna", "content": "caf\\u00c3\\u00a9", "timestamp_ms": 0}]})
>>> chat.kind, chat.messages[0].who, chat.messages[0].what
('Messenger', 'Anna', 'café')
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from homespun.text.chats import meta, slack
from homespun.text.chats.message import Chat, from_timestamp, repaired

_LOOK = 200  # messages by which a list is judged
_WHO = ("sender_name", "senderName", "sender", "from_name", "from", "author", "user_name", "username", "user",
        "speaker", "nickname", "nick", "name", "contact")  # fmt: skip
_SENDERS = {
    "sender_name",
    "sendername",
    "sender",
    "from_name",
    "speaker",
    "nick",
    "nickname",
}  # only chats have these
_WHAT = ("text", "message", "content", "body", "msg", "utterance")
_WHEN = ("timestamp_ms", "timestamp", "date", "datetime", "time", "ts", "created_at", "created_date", "sent_at",
         "origin_server_ts")  # fmt: skip
_TAG = re.compile(r"<[^<>]{1,400}>")


def chats_in(value: object) -> list[Chat] | None:
    """The chats in a JSON value: one, or all those of an account; None if it is something else."""
    if isinstance(value, list):
        return _in_list(value)
    if not isinstance(value, Mapping):
        return None
    if (every := _telegram_all(value)) is not None:
        return every
    if isinstance(value.get("conversations"), list) and (skype := _skype(value)):
        return skype
    messages = value.get("messages")
    if not _are_records(messages):
        return None
    assert isinstance(messages, list)
    return _from_messages(value, messages)


def _in_list(items: list) -> list[Chat] | None:
    if not _are_records(items):
        return None
    sample = items[:_LOOK]
    if _share(sample, slack.is_message) > 0.8:
        chat = Chat("Slack")
        slack.add_messages(chat, items, {})
        return [chat]
    if _share(sample, _is_generic) > 0.8 and _says_who_and_when(sample):
        return [_generic({}, items)]
    if all(isinstance(item.get("messages"), list) for item in sample):  # a list of chats
        found = [chats_in(item) for item in items]
        return [chat for chats in found for chat in chats or ()] if found[0] else None
    return None


def _from_messages(whole: Mapping[str, Any], messages: list) -> list[Chat] | None:
    sample = messages[:_LOOK]
    if any("role" in message for message in sample):
        return None
    for suits, read in _READERS:
        if suits(whole, sample):
            chat = read(whole, messages)
            chat.name = chat.name or repaired(str(whole.get("name") or whole.get("title") or ""))
            return [chat]
    return None


def _are_records(items: object) -> bool:
    return isinstance(items, list) and bool(items) and all(isinstance(item, Mapping) for item in items)


def _share(items: list, suits: Callable[[Mapping[str, Any]], bool]) -> float:
    return sum(map(suits, items)) / len(items)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _iso(value: object) -> datetime | None:
    """A time as ISO 8601 has it. The zone is left out: what counts is how far messages are apart."""
    if not isinstance(value, str):
        return None
    short = re.sub(r"(\.\d{1,6})\d*", "", value.strip()).replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(short).replace(tzinfo=None)
    except ValueError:
        return None


def _time(value: object) -> datetime | None:
    """A time of unknown kind: seconds, milli-, micro- or nanoseconds since 1970, or ISO 8601."""
    if (found := _iso(value)) is not None:
        return found
    try:
        number = float(value) if isinstance(value, (int, float, str)) else 0.0
    except ValueError:
        return None
    for per_second in (1.0, 1e3, 1e6, 1e9):
        if 1e8 < number / per_second < 1e10:
            return from_timestamp(number, per_second)
    return None


# --- Telegram --------------------------------------------------------------------------------------------------


def _is_telegram(whole: Mapping[str, Any], sample: list) -> bool:
    return all(message.get("type") in ("message", "service", "unsupported") for message in sample) and (
        any("from_id" in message or "actor" in message or "text_entities" in message for message in sample)
        or "id" in whole
        or any(message.get("type") == "service" for message in sample)
    )


def _telegram(whole: Mapping[str, Any], messages: list) -> Chat:
    chat = Chat("Telegram", _text(whole.get("name")))
    for message in messages:
        if message.get("type") != "message":
            chat.leave_out("service")
            continue
        who = _text(message.get("from")) or _text(message.get("author")) or "Deleted Account"
        when = from_timestamp(message.get("date_unixtime")) or _iso(message.get("date"))
        chat.add(who, flat(message.get("text") or message.get("text_entities")), when)
    return chat


def flat(text: object) -> str:
    """The text of a formatted message, which is a list of strings and of objects with a `text`.

    >>> flat(["so ", {"type": "bold", "text": "really"}, "."])
    'so really.'
    """
    if isinstance(text, list):
        return "".join(map(flat, text))
    if isinstance(text, Mapping):
        return _text(text.get("text"))
    return _text(text)


def _telegram_all(whole: Mapping[str, Any]) -> list[Chat] | None:
    """An export of all chats: {"chats": {"list": [{"messages": […]}, …]}}."""
    every: list[Chat] = []
    found = False
    for part in ("chats", "left_chats"):
        holder = whole.get(part)
        listed = holder.get("list") if isinstance(holder, Mapping) else None
        if not isinstance(listed, list):
            continue
        found = True
        for entry in listed:
            if isinstance(entry, Mapping) and _are_records(entry.get("messages")):
                every.append(_telegram(entry, entry["messages"]))
    return every if found and every else None


# --- Discord ---------------------------------------------------------------------------------------------------

_DISCORD_SAID = {"Default", "Reply", "0", "19", "None", "20", "23", "ThreadStarterMessage"}


def _is_discord(whole: Mapping[str, Any], sample: list) -> bool:
    return all(isinstance(message.get("author"), Mapping) and "content" in message for message in sample)


def _discord(whole: Mapping[str, Any], messages: list) -> Chat:
    channel = whole.get("channel")
    chat = Chat("Discord", _text(channel.get("name")) if isinstance(channel, Mapping) else "")
    for message in messages:
        author = message["author"]
        names = (author.get(name) for name in ("nickname", "global_name", "name", "username"))
        who = next((name for name in names if isinstance(name, str) and name), "")
        if str(message.get("type")) not in _DISCORD_SAID:
            chat.leave_out("service")
        else:
            chat.add(who, discord_text(_text(message.get("content"))), _iso(message.get("timestamp")))
    chat.sort()
    return chat


def discord_text(text: str) -> str:
    """A message without the numbers of custom emoji and mentions.

    >>> discord_text("<:wave:123456> hello <@!987654321>")
    ':wave: hello'
    """
    text = re.sub(r"<a?(:\w+:)\d+>", r"\1", text)
    return re.sub(r" ?<[@#][!&]?\d+>", "", text)


# --- others ----------------------------------------------------------------------------------------------------


def _skype(whole: Mapping[str, Any]) -> list[Chat] | None:
    found = []
    for talk in whole["conversations"]:
        messages = talk.get("MessageList") if isinstance(talk, Mapping) else None
        if not isinstance(messages, list) or not _are_records(messages):
            continue
        chat = Chat("Skype", _text(talk.get("displayName")))
        for message in messages:
            who = _text(message.get("displayName")) or re.sub(r"^\d+:(live:)?", "", _text(message.get("from")))
            text = html.unescape(_TAG.sub("", re.sub(r"<quote.*?</quote>", "", _text(message.get("content")))))
            if message.get("messagetype") not in ("RichText", "Text", None):
                chat.leave_out("service")
            else:
                chat.add(who, text, _iso(message.get("originalarrivaltime")))
        chat.sort()
        found.append(chat)
    return found or None


def _is_google(whole: Mapping[str, Any], sample: list) -> bool:
    return all(isinstance(message.get("creator"), Mapping) for message in sample)


def _google(whole: Mapping[str, Any], messages: list) -> Chat:
    chat = Chat("Google Chat")
    for message in messages:
        creator = message["creator"]
        chat.add(_text(creator.get("name")) or _text(creator.get("email")), _text(message.get("text")))
    return chat


def _is_matrix(whole: Mapping[str, Any], sample: list) -> bool:
    return all("sender" in message and isinstance(message.get("content"), Mapping) for message in sample)


def _matrix(whole: Mapping[str, Any], messages: list) -> Chat:
    chat = Chat("Matrix", _text(whole.get("room_name")))
    for message in messages:
        body, when = _text(message["content"].get("body")), from_timestamp(message.get("origin_server_ts"), 1000)
        if message.get("type") != "m.room.message":
            chat.leave_out("service")
        elif message["content"].get("msgtype") not in ("m.text", "m.emote", "m.notice"):
            chat.leave_out("no text")
        else:
            chat.add(_text(message.get("sender")).split(":")[0].lstrip("@"), body, when)
    return chat


def _is_generic(message: Mapping[str, Any]) -> bool:
    return bool(_key(message, _WHO)) and bool(_key(message, _WHAT)) and "role" not in message


def _key(message: Mapping[str, Any], names: Iterable[str]) -> str | None:
    by_small = {str(key).lower(): str(key) for key, value in message.items() if not isinstance(value, bool)}
    return next((by_small[name.lower()] for name in names if name.lower() in by_small), None)


def _says_who_and_when(sample: list) -> bool:
    """Whether a bare list of records is of a chat: a sender's field, and a time or senders that come again."""
    first = sample[0]
    who = _key(first, _WHO)
    if who is None or who.lower() not in _SENDERS | {"from"}:
        return False
    senders = [str(item.get(who)) for item in sample]
    recur = len(set(senders)) <= 0.7 * len(senders)
    return _key(first, _WHEN) is not None and (who.lower() in _SENDERS or recur)


def _generic(whole: Mapping[str, Any], messages: list) -> Chat:
    chat = Chat("")
    for message in messages:
        who, what, when = _key(message, _WHO), _key(message, _WHAT), _key(message, _WHEN)
        sender = message.get(who) if who else None
        if isinstance(sender, Mapping):  # {"author": {"name": "Anna"}}
            sender = next(
                (sender[key] for key in ("name", "display_name", "username", "id") if sender.get(key)), ""
            )
        chat.add(
            str(sender or ""), flat(message.get(what) if what else ""), _time(message.get(when) if when else None)
        )
    chat.sort()
    return chat


_Suits = Callable[[Mapping[str, Any], list], bool]
_READERS: tuple[tuple[_Suits, Callable[[Mapping[str, Any], list], Chat]], ...] = (
    (meta.is_meta, meta.chat_of),
    (_is_telegram, _telegram),
    (_is_discord, _discord),
    (_is_google, _google),
    (_is_matrix, _matrix),
    (lambda whole, sample: _share(sample, slack.is_message) > 0.8, lambda whole, items: slack.chat_of(items, {})),
    (lambda whole, sample: _share(sample, _is_generic) > 0.8, _generic),
)
