"""Slack's export: a folder a channel, in it a file a day, and users.json with the names of people.

>>> names_in([{"id": "U1", "name": "anna", "profile": {"display_name": "Anna", "real_name": "Anna A."}}])
{'U1': 'Anna'}
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from homespun.text.chats.message import Chat, from_timestamp

# Where the files of an export are: users.json beside folders of days.
USERS = "users.json"
DAY = re.compile(r"\d{4}-\d\d-\d\d\.json")
ABOUT = {"users.json", "channels.json", "groups.json", "dms.json", "mpims.json", "integration_logs.json",
         "org_users.json", "canvases.json", "huddle_transcripts.json", "file_conversations.json",
         "lists.json"}  # fmt: skip
_SAID = {None, "thread_broadcast", "me_message", "bot_message", "file_share", "reply_broadcast"}  # subtypes
_PERSON = re.compile(r"<@(\w+)(?:\|([^<>]*))?>")
_CHANNEL = re.compile(r"<#\w+(?:\|([^<>]*))?>")
_EVERYBODY = re.compile(r"<!(\w+)(?:\^\w+)?(?:\|([^<>]*))?>")
_LINK = re.compile(r"<((?:https?|mailto|tel):[^<>|\s]+)(?:\|([^<>]*))?>")


def is_message(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "message" and "ts" in item and "role" not in item


def names_in(users: object) -> dict[str, str]:
    """The names of people by their ids, from what users.json holds."""
    found = {}
    for user in users if isinstance(users, list) else ():
        if isinstance(user, Mapping) and isinstance(user.get("id"), str):
            found[user["id"]] = _name(user, user.get("profile")) or user["id"]
    return found


def _name(user: Mapping[str, Any], profile: object) -> str:
    inner = profile if isinstance(profile, Mapping) else {}
    names = (inner.get("display_name"), inner.get("real_name"), user.get("real_name"), user.get("name"))
    return next((name for name in names if isinstance(name, str) and name), "")


def chat_of(messages: Iterable[Mapping[str, Any]], names: Mapping[str, str], name: str = "") -> Chat:
    """The chat of one channel. names: of people, by their ids."""
    chat = Chat("Slack", name)
    add_messages(chat, messages, names)
    chat.sort()
    return chat


def add_messages(chat: Chat, messages: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    for message in messages:
        if not isinstance(message, Mapping) or message.get("type") != "message":
            continue
        if message.get("subtype") not in _SAID:
            chat.leave_out("service")
            continue
        text = message.get("text")
        chat.add(
            _sender(message, names),
            readable(text if isinstance(text, str) else "", names),
            from_timestamp(message.get("ts")),
        )


def _sender(message: Mapping[str, Any], names: Mapping[str, str]) -> str:
    user = message.get("user") or message.get("bot_id")
    if isinstance(user, str) and user in names:
        return names[user]
    profile = message.get("user_profile") or message.get("bot_profile")
    return _name(message, profile) or str(message.get("username") or user or "")


def readable(text: str, names: Mapping[str, str]) -> str:
    """A message as people see it.

    >>> readable("<@U1> see <https://example.org/a|the page> &amp; <#C1|general>", {"U1": "Anna"})
    '@Anna see the page & #general'
    """
    text = _PERSON.sub(lambda found: f"@{names.get(found[1]) or found[2] or found[1]}", text)
    text = _CHANNEL.sub(lambda found: f"#{found[1] or 'channel'}", text)
    text = _LINK.sub(lambda found: found[2] or found[1], text)
    text = _EVERYBODY.sub(
        lambda found: f"@{found[1]}" if found[1] in ("here", "channel", "everyone") else found[2] or "", text
    )
    return html.unescape(text)
