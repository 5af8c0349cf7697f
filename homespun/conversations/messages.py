"""Conversations that are lists of messages, in the names that OpenAI, ShareGPT, LangChain and others give them.

>>> from homespun.conversations.names import Fields
>>> found = from_list([{"type": "human", "data": {"content": "Hi"}}, {"type": "ai", "data": {"content": "Hello"}}],
...                   Fields({}), "line 1")
>>> [(message["role"], message["content"]) for message in found.messages], found.shape
([('user', 'Hi'), ('assistant', 'Hello')], "as messages with 'type' and 'content'")
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from homespun.conversations.conversation import (
    Conversation,
    Fragment,
    LeftOut,
    clean,
    ended,
    is_nothing,
    kind_of,
)
from homespun.conversations.names import CALLS, GROUPS, HISTORY, PARENT, SAID, SPEAKERS, SYSTEM, Fields, role_of
from homespun.errors import TextUnreadable
from homespun.text.fields import key_of

OPENAI, SHAREGPT = "as OpenAI writes them", "as ShareGPT writes them"
WRITTEN_OUT = "written out in a text, with marks between the turns"
KEPT = (
    "name",
    "tool_calls",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "thinking",
)  # fields that templates use
LONGEST_PRINTED = 2**20  # characters
PRINTED = re.compile(r"\s*\[\s*\{\s*['\"]")
PRINTED_GAP = re.compile(r"\}\s*\n\s*\{")
MOST_COLUMNS = 12  # of a table with a message a row
DEEPEST = 30  # nesting levels of tool definitions and calls


def unpacked(value: object) -> object:
    """Parse a list that a table stores in a string, as JSON or as Python prints it; return anything else as it is.

    >>> unpacked("[{'role': 'user'}]"), unpacked("[{'role': 'user'}\\n {'role': 'ai'}]")
    ([{'role': 'user'}], [{'role': 'user'}, {'role': 'ai'}])
    """
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return printed_list(value)


def printed_list(text: str) -> object:
    """The list of objects that Python printed, or NumPy without commas: what pandas writes into a table."""
    if len(text) > LONGEST_PRINTED or not PRINTED.match(text):
        return text
    for version in (text, PRINTED_GAP.sub("}, {", text)):
        try:
            found = ast.literal_eval(version.strip())  # plain values alone: nothing is evaluated
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return found if isinstance(found, list) else text
    return text


def looks_like_messages(items: list) -> bool:
    """Whether each item is an object that says who speaks."""
    return bool(items) and all(isinstance(item, dict) and speaker_of(item) is not None for item in items)


def speaker_of(item: Mapping[str, Any]) -> str | None:
    """The field that says who speaks; None where there is none."""
    fields = Fields(opened(item))
    found = fields.first(SPEAKERS[:2]) or next(
        (name for name in SPEAKERS[2:] if name in fields and role_of(fields[name])), None
    )
    return None if found is None else fields.name(found)


def opened(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message of LangChain's without its wrapping: {"type": "human", "data": {…}}, or a serialised class."""
    inner = item.get("data") if "type" in item and "content" not in item else None
    if isinstance(inner, dict) and "content" in inner:
        return {**inner, "type": item["type"]}
    path, kwargs = item.get("id"), item.get("kwargs")
    if item.get("lc") and isinstance(kwargs, dict) and isinstance(path, list) and path:
        return {**kwargs, "type": path[-1]}
    return item


def from_list(items: list, record: Fields, where: str) -> Conversation | LeftOut:
    """The conversation in a list of messages. record: the fields beside it. Raises TextUnreadable."""
    first = next((opened(item) for item in items if isinstance(item, dict)), {})
    keys = keys_of(first)
    messages = [*system_in(record), *history_in(record, where)]
    targets = [False] * len(messages)
    for number, item in enumerate(items, start=1):
        message = message_of(item, keys, f"{where} message {number},")
        messages.append(message)
        targets.append(message["role"] == "assistant" and item.get("weight") != 0)
    shape = WRITTEN_OUT if record.get("writtenout") is True else shape_of(keys)
    return ended(messages, targets, shape, names_in(record, where))


def keys_of(first: Mapping[str, Any]) -> tuple[str, str]:
    """What a message calls who speaks, and what is said."""
    said_by = speaker_of(first) or ("from" if "from" in first and "role" not in first else "role")
    fields = Fields({name: value for name, value in first.items() if name != said_by})
    said = fields.first(SAID)
    usual = "value" if said_by == "from" else "content"
    return said_by, usual if said is None else fields.name(said)


def fragment_in(record: Fields) -> Fragment | None:
    """The message that a record is, of a table with a message a row; None where it is anything else.

    >>> from homespun.conversations.names import Fields
    >>> fragment_in(Fields({"conversation_id": 7, "role": "user", "content": "Hi"})).group
    '7'
    """
    said = record.first(SAID[:3])
    if PARENT in record or said is None or not isinstance(record[said], str) or len(record) > MOST_COLUMNS:
        return None
    by = next((name for name in SPEAKERS[:3] if name in record and role_of(record[name]) is not None), None)
    if by is None:
        return None
    group = record.first(GROUPS)
    return Fragment(record.record, "" if group is None else str(record[group]))


def shape_of(keys: tuple[str, str]) -> str:
    usual = {("role", "content"): OPENAI, ("from", "value"): SHAREGPT}
    return usual.get(keys, f"as messages with {keys[0]!r} and {keys[1]!r}")


def message_of(item: object, keys: tuple[str, str], where: str) -> dict[str, Any]:
    """Return one message in the form that templates expect. Raises TextUnreadable."""
    said_by, said = keys
    if not isinstance(item, dict):
        raise wrong(where, f"is {kind_of(item)}, not an object", keys)
    item = opened(item)
    speaker = item.get(said_by)
    role = role_of(speaker)
    if role is None:
        found = f"says {said_by!r}: {str(speaker)[:40]!r}" if said_by in item else f"has no {said_by!r}"
        raise wrong(where, found, keys)
    message: dict[str, Any] = {"role": role, "content": content_of(item.get(said), keys, where)}
    for name in KEPT:
        if item.get(name) is not None:
            message[name] = plain(item[name], where)
    add_calls(message, item, key_of(str(speaker)) in CALLS)
    if message["content"] is None:
        if not message.get("tool_calls") and message["role"] != "assistant":
            raise wrong(where, f"has no {said!r}", keys)
        message["content"] = ""
    return message


def add_calls(message: dict[str, Any], item: Mapping[str, Any], is_call: bool) -> None:
    """Calls of tools as servers give them to a template: the arguments are an object and no string."""
    old = item.get("function_call")  # what OpenAI had before tool_calls
    if isinstance(old, dict) and "tool_calls" not in message:
        message["tool_calls"] = [{"type": "function", "function": plain(old, "a call")}]
    if is_call and isinstance(message["content"], str) and "tool_calls" not in message:
        call = parsed(message["content"])
        if isinstance(call, dict) and isinstance(call.get("name"), str) and "arguments" in call:
            message["tool_calls"] = [{"type": "function", "function": call}]
            message["content"] = ""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function", call) if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            function["arguments"] = parsed(function["arguments"])


def parsed(text: str) -> Any:
    """The object that a text is in JSON; any other text as it is.

    >>> parsed('{"city": "Rome"}'), parsed("not JSON"), parsed("7")
    ({'city': 'Rome'}, 'not JSON', '7')
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def content_of(content: object, keys: tuple[str, str], where: str) -> str | None:
    """Return the text of a message, which may come in parts. Raises TextUnreadable for images and audio."""
    if is_nothing(content) or isinstance(content, str):
        return clean(content) if isinstance(content, str) else None
    if not isinstance(content, list):
        raise wrong(where, f"has no text as its {keys[1]!r} but {kind_of(content)}", keys)
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        text = part.get("text") if isinstance(part, dict) else part
        if kind not in ("text", "input_text", "output_text"):
            raise TextUnreadable(
                f"{where} has a part of type {str(kind)[:40]!r}: homespun's models read and write text only.",
                "Take the conversations with pictures and sounds out, or leave only their text in.",
            )
        if not isinstance(text, str):
            raise wrong(where, "has a part without a text", keys)
        texts.append(clean(text))
    return "".join(texts)


def wrong(where: str, what: str, keys: tuple[str, str]) -> TextUnreadable:
    roles = "human, gpt or system" if keys[0] == "from" else "user, assistant, system, developer or tool"
    return TextUnreadable(
        f"{where} {what}.",
        f'A message looks like {{"{keys[0]}": "…", "{keys[1]}": "…"}}; who speaks is {roles}.',
    )


# --- beside the messages ---------------------------------------------------------------------------------------


def system_in(record: Fields) -> list[dict[str, Any]]:
    """Return the message of a system text that some formats store in a field of the record."""
    name = record.first(SYSTEM)
    text = None if name is None else record[name]
    if isinstance(text, dict):  # Gemini's: {"parts": [{"text": "…"}]}
        text = content_of(text.get("parts") or text.get("content"), ("role", "parts"), "the system text")
    return [{"role": "system", "content": clean(text)}] if isinstance(text, str) and text.strip() else []


def history_in(record: Fields, where: str) -> list[dict[str, Any]]:
    """Return the earlier turns that some formats store beside a pair: messages, or pairs of texts."""
    name = record.first(HISTORY)
    turns = None if name is None else unpacked(record[name])
    if not isinstance(turns, list) or not turns:
        return []
    if looks_like_messages(turns):
        keys = keys_of(opened(turns[0]))
        return [message_of(turn, keys, f"{where} history {at},") for at, turn in enumerate(turns, start=1)]
    if all(isinstance(turn, str) for turn in turns):
        turns = [turns[at : at + 2] for at in range(0, len(turns), 2)]
    said: list[dict[str, Any]] = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, (list, tuple)) or len(turn) != 2:
            raise TextUnreadable(
                f"{where} turn {number} of its {name!r} is no pair of a question and an answer.",
                'Earlier turns look like [["question", "answer"], …], or are messages.',
            )
        for role, text in zip(("user", "assistant"), turn, strict=True):
            said.append({"role": role, "content": clean(text) if isinstance(text, str) else ""})
    return said


def names_in(record: Fields, where: str) -> dict[str, Any]:
    """The tools, for the template. `functions` is what OpenAI had before."""
    if "tools" in record:
        tools = unpacked(record["tools"])
    elif isinstance(functions := unpacked(record.get("functions")), list):
        tools = [{"type": "function", "function": function} for function in functions]
    else:
        tools = None
    return {"tools": plain(tools, where)} if isinstance(tools, list) and tools else {}


def plain(value: object, where: str, depth: int = 0) -> Any:
    """Return plain data, with a limit on nesting. Raises TextUnreadable."""
    if depth > DEEPEST:
        raise TextUnreadable(f"{where} is nested more than {DEEPEST} deep.", "Leave that record out.")
    if isinstance(value, dict):
        return {str(name): plain(item, where, depth + 1) for name, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [plain(item, where, depth + 1) for item in value]
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
