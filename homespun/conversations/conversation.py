"""Read conversations in the common dataset formats as one format: messages with a role and a content.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}   the OpenAI format
    {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}       ShareGPT
    {"instruction": "…", "input": "…", "output": "…"}                                        Alpaca
    {"prompt": "…", "completion": "…"}                                                       and other such pairs

The field names of a record decide its format. Nothing is guessed from the texts.

>>> found = ConversationRecords().read({"question": "What is a sonnet?", "answer": "A poem."}, "line 1")
>>> [(message["role"], message["content"]) for message in found.messages], found.shape
([('user', 'What is a sonnet?'), ('assistant', 'A poem.')], "as pairs of 'question' and 'answer'")
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from homespun.errors import TextUnreadable
from homespun.text.document import whole_characters

OPENAI, SHAREGPT, ALPACA = "as OpenAI writes them", "as ShareGPT writes them", "as Alpaca writes them"
LISTS = ("messages", "conversations", "conversation")  # fields that hold a list of messages
PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("query", "response"),
    ("input", "output"),
)
BESIDE_A_QUESTION = ("input", "context")  # context of an instruction
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}
KEPT = (
    "name",
    "tool_calls",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "thinking",
)  # fields that templates use
MOST_MESSAGES = 1000  # per conversation: the template is rendered again for every answer
DEEPEST = 30  # nesting levels of tool definitions and calls

NO_ANSWER, NO_QUESTION = "no answer", "nothing before the answer"
EXPECTED = (
    "A conversation looks like "
    '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
)


@dataclass(frozen=True)
class Conversation:
    """The messages of a conversation, up to the last answer that is a training target.

    messages: the input of a chat template; roles are system, user, assistant and tool.
    targets: for each message, whether it is an answer to train on.
    names: further variables for the template: the tools, if there are any.
    """

    messages: tuple[Mapping[str, Any], ...]
    targets: tuple[bool, ...]
    shape: str
    names: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the conversation on one line, the same for equal conversations."""
        return json.dumps([self.messages, self.targets, self.names], ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class LeftOut:
    """A conversation that cannot be trained on, and why."""

    reason: str
    shape: str


class ConversationRecords:
    """Reads records of files (see text/formats): a Conversation, LeftOut, or None for any other record."""

    expected = f"{EXPECTED}; docs/finetune.md shows the others."

    def read(self, record: object, where: str) -> Conversation | LeftOut | None:
        """Return the conversation in a record, LeftOut, or None.

        Raises TextUnreadable, which names the place, for a conversation that is malformed.
        """
        if isinstance(record, list):
            return _from_list({"messages": record}, "messages", where) if _looks_like_messages(record) else None
        if not isinstance(record, dict):
            return None
        for name in LISTS:
            if isinstance(_unpacked(record.get(name)), list):
                return _from_list(record, name, where)
        return _from_pair(record, where)


# --- lists of messages -----------------------------------------------------------------------------------------


def _unpacked(value: object) -> object:
    """Parse a list that a table stores as JSON in a string; return anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _looks_like_messages(items: list) -> bool:
    return bool(items) and all(isinstance(item, dict) and ("role" in item or "from" in item) for item in items)


def _from_list(record: Mapping[str, Any], name: str, where: str) -> Conversation | LeftOut:
    items = _unpacked(record[name])
    assert isinstance(items, list)
    is_sharegpt = bool(items) and isinstance(items[0], dict) and "from" in items[0] and "role" not in items[0]
    shape = SHAREGPT if is_sharegpt else OPENAI
    keys = ("from", "value") if is_sharegpt else ("role", "content")
    if len(items) > MOST_MESSAGES:
        raise TextUnreadable(
            f"{where} is a conversation of {len(items):,} messages; homespun reads up to {MOST_MESSAGES:,}.",
            "Divide it into several.",
        )
    messages = _system(record)
    targets = [False] * len(messages)
    for number, item in enumerate(items, start=1):
        message = _message(item, keys, f"{where} message {number},")
        messages.append(message)
        targets.append(message["role"] == "assistant" and item.get("weight") != 0)
    return _conversation(messages, targets, shape, _names(record, where))


def _message(item: object, keys: tuple[str, str], where: str) -> dict[str, Any]:
    """Return one message in the form that templates expect. Raises TextUnreadable."""
    said_by, said = keys
    if not isinstance(item, dict):
        raise _wrong(where, f"is {_kind(item)}, not an object", keys)
    role = item.get(said_by)
    if not isinstance(role, str) or role.lower() not in ROLES:
        found = f"says {said_by!r}: {str(role)[:40]!r}" if said_by in item else f"has no {said_by!r}"
        raise _wrong(where, found, keys)
    message: dict[str, Any] = {"role": ROLES[role.lower()], "content": _content(item.get(said), keys, where)}
    for name in KEPT:
        if item.get(name) is not None:
            message[name] = _plain(item[name], where)
    if message["content"] is None:
        if not message.get("tool_calls") and message["role"] != "assistant":
            raise _wrong(where, f"has no {said!r}", keys)
        message["content"] = ""
    return message


def _content(content: object, keys: tuple[str, str], where: str) -> str | None:
    """Return the text of a message, which may come in parts. Raises TextUnreadable for images and audio."""
    if content is None or isinstance(content, str):
        return None if content is None else clean(content)
    if not isinstance(content, list):
        raise _wrong(where, f"has no text as its {keys[1]!r} but {_kind(content)}", keys)
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
            raise _wrong(where, "has a part without a text", keys)
        texts.append(clean(text))
    return "".join(texts)


def _wrong(where: str, what: str, keys: tuple[str, str]) -> TextUnreadable:
    roles = "human, gpt or system" if keys[0] == "from" else "user, assistant, system, developer or tool"
    return TextUnreadable(
        f"{where} {what}.",
        f'A message looks like {{"{keys[0]}": "…", "{keys[1]}": "…"}}; who speaks is {roles}.',
    )


# --- pairs -----------------------------------------------------------------------------------------------------


def _from_pair(record: Mapping[str, Any], where: str) -> Conversation | LeftOut | None:
    for asked, answered in PAIRS:
        if asked in record and answered in record:
            break
    else:
        return None
    if _looks_like_messages(_list(record[asked])):
        both = [*_list(record[asked]), *_list(record[answered])]
        return _from_list({**record, "messages": both}, "messages", where)
    shape = ALPACA if (asked, answered) == PAIRS[0] else f"as pairs of {asked!r} and {answered!r}"
    before = [asked, *(name for name in BESIDE_A_QUESTION if name != asked and name in record)]
    texts = {name: _text(record[name], name, where) for name in (*before, answered)}
    question = "\n\n".join(texts[name] for name in before if texts[name].strip())
    if not question:
        return LeftOut(NO_QUESTION, shape)
    messages = [*_system(record), {"role": "user", "content": question}, _answer(texts[answered])]
    return _conversation(messages, [message["role"] == "assistant" for message in messages], shape, {})


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _text(value: object, name: str, where: str) -> str:
    if value is not None and not isinstance(value, str):
        raise TextUnreadable(
            f"{where} has {_kind(value)} in the field {name!r}, where a text should be.",
            "Write a string there.",
        )
    return clean(value or "")


def _answer(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


# --- both ------------------------------------------------------------------------------------------------------


def _system(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the message of a system text that some formats store in a field of the record."""
    text = record.get("system")
    return [{"role": "system", "content": clean(text)}] if isinstance(text, str) and text.strip() else []


def clean(text: str) -> str:
    r"""Return the text with "\n" as line ends and without lone surrogates, as everywhere in homespun.

    >>> clean("one\r\ntwo")
    'one\ntwo'
    """
    return whole_characters(text.replace("\r\n", "\n").replace("\r", "\n"))


def _conversation(
    messages: list[dict[str, Any]], targets: list[bool], shape: str, names: Mapping[str, Any]
) -> Conversation | LeftOut:
    """Return the conversation without empty answers, and without what follows the last answer (never a target)."""
    has_words = [bool(message["content"].strip() or message.get("tool_calls")) for message in messages]
    answers = [at for at, is_one in enumerate(targets) if is_one and has_words[at]]
    if not answers:
        return LeftOut(NO_ANSWER, shape)
    end = answers[-1] + 1
    return Conversation(tuple(messages[:end]), tuple(at in set(answers) for at in range(end)), shape, names)


def _names(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    tools = _unpacked(record.get("tools"))
    return {"tools": _plain(tools, where)} if isinstance(tools, list) and tools else {}


def _kind(value: object) -> str:
    """Return the name of a JSON type for messages.

    >>> _kind([1, 2]), _kind(5)
    ('a list', 'a number')
    """
    names = (
        (bool, "true or false"),
        (str, "a string"),
        ((int, float), "a number"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "nothing")


def _plain(value: object, where: str, depth: int = 0) -> Any:
    """Return plain data, with a limit on nesting. Raises TextUnreadable."""
    if depth > DEEPEST:
        raise TextUnreadable(f"{where} is nested more than {DEEPEST} deep.", "Leave that record out.")
    if isinstance(value, dict):
        return {str(name): _plain(item, where, depth + 1) for name, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where, depth + 1) for item in value]
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
