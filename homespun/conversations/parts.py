"""Divide a long conversation: by messages when it is recognised, by tokens when it is encoded.

A part begins with the system text, where there is one, and with a question, and every answer is a target in
exactly one part. Of parts by tokens, which have to fit into the model, the next begins with some of what stands
before it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from homespun.conversations.conversation import Conversation

# The template is rendered again for every answer, so that the work of a conversation is the square of its length.
MOST_MESSAGES = 128
IN_A_PART = 64
LEAST_QUESTION = 8  # characters of a question that is shortened
OVERLAP = 4  # a part by tokens takes up to one in so many of its tokens from before it, as context


def divided(conversation: Conversation) -> list[Conversation]:
    """Return a conversation of more than MOST_MESSAGES messages as several of about IN_A_PART.

    >>> talk = Conversation(tuple({"role": r, "content": "x"} for r in ("user", "assistant") * 100),
    ...                     (False, True) * 100, "")
    >>> [len(part.messages) for part in divided(talk)]
    [64, 64, 64, 8]
    """
    if len(conversation.messages) <= MOST_MESSAGES:
        return [conversation]
    first = after_system(conversation)
    answers = [at for at, target in enumerate(conversation.targets) if target]
    parts, start, end = [], first, first
    for answer in answers:
        if end > start and answer + 1 - start > IN_A_PART:
            parts.append(part_of(conversation, start, end))
            start = end
        end = answer + 1
    parts.append(part_of(conversation, start, end))
    return parts


def by_tokens(conversation: Conversation, sizes: Sequence[int], room: int) -> list[Conversation]:
    """Return the conversation in parts that are expected to fit.

    sizes: the tokens of each message, with those that the template writes around it. room: tokens in all.
    """
    first = after_system(conversation)
    room -= sum(sizes[:first])
    answers = [at for at, target in enumerate(conversation.targets) if target]
    parts: list[Conversation] = []
    start = end = first
    for answer in answers:
        own = room if start == first else room - room // OVERLAP
        if end > start and sum(sizes[start : answer + 1]) > own:
            parts.append(with_context(conversation, sizes, room, start, end, first))
            start = end
        end = answer + 1
    parts.append(with_context(conversation, sizes, room, start, end, first))
    return parts


def with_context(
    conversation: Conversation, sizes: Sequence[int], room: int, start: int, end: int, first: int
) -> Conversation:
    """The part from `start` to `end`, and before it as many whole turns as there is room for."""
    used, begin = sum(sizes[start:end]), start
    for at in range(start - 1, first - 1, -1):
        before = sum(sizes[at:start])
        if before > room // OVERLAP or used + before > room:
            break
        if conversation.messages[at]["role"] == "user":
            begin = at
    return part_of(conversation, begin, end, targets_from=start)


def in_halves(conversation: Conversation) -> list[Conversation]:
    """Return two parts with half of the answers each; of a single answer, one with less before it, or none.

    >>> talk = Conversation(tuple({"role": r, "content": "x"} for r in ("user", "assistant", "user", "assistant")),
    ...                     (False, False, False, True), "")
    >>> [len(part.messages) for part in in_halves(talk)], in_halves(in_halves(talk)[0])
    ([2], [])
    """
    first = after_system(conversation)
    answers = [at for at, target in enumerate(conversation.targets) if target]
    if len(answers) > 1:
        middle = answers[len(answers) // 2 - 1] + 1
        end = answers[-1] + 1
        return [part_of(conversation, first, middle), part_of(conversation, middle, end)]
    roles = [message["role"] for message in conversation.messages]
    later = [at for at in range(first + 1, answers[0]) if roles[at] == "user" and roles[at - 1] != "user"]
    if not later:
        return []
    return [part_of(conversation, later[len(later) // 2], answers[0] + 1)]


def with_less_asked(conversation: Conversation) -> Conversation | None:
    """Return the conversation with the second half of its last question: whole lines, else whole words.

    None where there is no question, or little of it left.

    >>> talk = Conversation(({"role": "user", "content": "one two three four"},
    ...                      {"role": "assistant", "content": "x"}), (False, True), "")
    >>> with_less_asked(talk).messages[0]["content"]
    'four'
    """
    asked = [at for at, message in enumerate(conversation.messages) if message["role"] == "user"]
    if not asked:
        return None
    text = str(conversation.messages[asked[-1]]["content"])
    half = len(text) // 2
    if half < LEAST_QUESTION:
        return None
    place = next((at for mark in "\n " if 0 <= (at := text.find(mark, half - 1)) < len(text) - 1), half - 1)
    question = {**conversation.messages[asked[-1]], "content": text[place + 1 :]}
    before, behind = conversation.messages[: asked[-1]], conversation.messages[asked[-1] + 1 :]
    return replace(conversation, messages=(*before, question, *behind))


def part_of(conversation: Conversation, start: int, end: int, *, targets_from: int = 0) -> Conversation:
    """The messages from `start` to `end` behind the system text; answers before `targets_from` are context."""
    first = after_system(conversation)
    messages = conversation.messages[:first] + conversation.messages[start:end]
    targets = [target and at >= targets_from for at, target in enumerate(conversation.targets[:end])]
    return replace(conversation, messages=messages, targets=(False,) * first + tuple(targets[start:end]))


def after_system(conversation: Conversation) -> int:
    """How many messages at the beginning are system texts."""
    roles = [message["role"] for message in conversation.messages]
    return next((at for at, role in enumerate(roles) if role != "system"), len(roles))


# --- turns, for templates that insist on them --------------------------------------------------------------------

GREETING, JOINED, FOLDED = "greeting", "joined", "folded"
CHANGES = {
    JOINED: "with neighbouring messages of one role joined, since the chat template wants the roles in turn",
    GREETING: "begun with the first question, since the chat template knows no greeting before it",
    FOLDED: "with the system text in the first question, since the chat template knows no system text",
}


def in_turns(conversation: Conversation) -> tuple[Conversation, list[str]]:
    """Return the conversation with user and assistant in turn, the user first, and what was changed for it.

    Neighbours of one role become one message, a paragraph each; a joined answer is a target if all of it was. What
    the assistant says before the first question is left out.
    """
    first = after_system(conversation)
    messages: list[dict[str, Any]] = [dict(message) for message in conversation.messages[:first]]
    targets, changes = [False] * first, []
    for message, target in zip(conversation.messages[first:], conversation.targets[first:], strict=True):
        last = messages[-1] if len(messages) > first else None
        if last is None and message["role"] == "assistant":
            changes.append(GREETING)
        elif last is not None and can_join(last, message):
            last["content"] = f"{last['content']}\n\n{message['content']}"
            targets[-1] = targets[-1] and target
            changes.append(JOINED)
        else:
            messages.append(dict(message))
            targets.append(target)
    found = replace(conversation, messages=tuple(messages), targets=tuple(targets))
    return found, list(dict.fromkeys(changes))


def can_join(one: dict[str, Any], other: Any) -> bool:
    plain = not one.get("tool_calls") and not other.get("tool_calls")
    return one["role"] == other["role"] and one["role"] in ("user", "assistant") and plain


def without_system(conversation: Conversation) -> Conversation | None:
    """Return the conversation with its system text before the first question, a paragraph of its own.

    None where it has no system text, or no question.
    """
    first = after_system(conversation)
    rest = conversation.messages[first:]
    if not first or not rest or rest[0]["role"] != "user":
        return None
    system = [message["content"] for message in conversation.messages[:first]]
    question = {**rest[0], "content": "\n\n".join([*system, rest[0]["content"]])}
    return replace(conversation, messages=(question, *rest[1:]), targets=conversation.targets[first:])


def calls_as_text(conversation: Conversation) -> Conversation:
    """Return the conversation with each call of a tool as a line of JSON in the message that makes it.

    >>> call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    >>> talk = Conversation(({"role": "assistant", "content": "", "tool_calls": [call]},), (True,), "")
    >>> calls_as_text(talk).messages
    ({'role': 'assistant', 'content': '{"name": "add", "arguments": {"a": 1}}'},)
    """
    messages = []
    for message in conversation.messages:
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            functions = [call.get("function", call) if isinstance(call, dict) else call for call in calls]
            lines = [json.dumps(function, ensure_ascii=False) for function in functions]
            rest = {name: value for name, value in message.items() if name != "tool_calls"}
            message = {**rest, "content": "\n".join(filter(None, [message["content"], *lines]))}
        messages.append(message)
    return replace(conversation, messages=tuple(messages))
