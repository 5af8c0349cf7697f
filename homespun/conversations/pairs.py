"""Conversations of one question and one answer in fields of their own: Alpaca, OpenOrca, Dolly, preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from homespun.conversations.conversation import (
    BAD_ANSWER,
    NO_QUESTION,
    Conversation,
    LeftOut,
    clean,
    ended,
    is_nothing,
    kind_of,
)
from homespun.conversations.messages import (
    from_list,
    history_in,
    keys_of,
    looks_like_messages,
    opened,
    speaker_of,
    system_in,
    unpacked,
)
from homespun.conversations.names import (
    ANSWERS,
    ANSWERS_TO_A_TEXT,
    BESIDE_A_QUESTION,
    CHOSEN,
    LABEL,
    QUESTIONS,
    QUESTIONS_OF_A_TEXT,
    REJECTED,
    Fields,
    role_of,
)
from homespun.errors import TextUnreadable
from homespun.text.marks import messages_in

ALPACA = "as Alpaca writes them"
PREFERENCES = "as preferences, of which the chosen answer is trained on"


def from_fields(record: Fields, where: str) -> Conversation | LeftOut | None:
    """The conversation in a record with a question and an answer; None where it has no such fields.

    Raises TextUnreadable.
    """
    if CHOSEN in record and REJECTED in record:
        return from_preferences(record, where)
    found = pair_in(record)
    if found is None:
        return None
    asked, answered = found
    names = record.name(asked), record.name(answered)
    shape = ALPACA if names == ("instruction", "output") else f"as pairs of {names[0]!r} and {names[1]!r}"
    if record.get(LABEL) is False and isinstance(record[LABEL], bool):
        return LeftOut(BAD_ANSWER, shape)
    return of_pair(record, asked, record[answered], answered, shape, where)


def pair_in(record: Fields) -> tuple[str, str] | None:
    """The names of the question and the answer.

    >>> pair_in(Fields({"Instruction": "a", "Input": "b", "Output": "c"})), pair_in(Fields({"text": "a"}))
    (('instruction', 'output'), None)
    """
    asked, answered = record.first(QUESTIONS), record.first(ANSWERS)
    if asked is not None and answered is not None:
        return asked, answered
    if "text" in record and (answered := record.first(ANSWERS_TO_A_TEXT)) is not None:
        return "text", answered
    if "text" in record and (asked := record.first(QUESTIONS_OF_A_TEXT)) is not None:
        return asked, "text"
    return None


def of_pair(
    record: Fields, asked: str, answer: Any, answered: str, shape: str, where: str
) -> Conversation | LeftOut:
    question, answer = unpacked(record[asked]), unpacked(answer)
    if isinstance(answer, list) and looks_like_messages(answer):
        before = question if isinstance(question, list) else asked_before(answer, question)
        if not isinstance(before, list) or (before and not looks_like_messages(before)):
            before = []
        return from_list([*before, *answer], record, where)
    if isinstance(question, list) and looks_like_messages(question):
        said = {"role": "assistant", "content": text_of(answer, record.name(answered), where)}
        return from_list([*question, said], record, where)
    beside = [name for name in BESIDE_A_QUESTION if name != asked and name in record]
    texts = [text_of(record[name], record.name(name), where) for name in (asked, *beside)]
    whole = "\n\n".join(text for text in texts if text.strip())
    if not whole:
        return LeftOut(NO_QUESTION, shape)
    messages = [*system_in(record), *history_in(record, where), {"role": "user", "content": whole}]
    targets = [message["role"] == "assistant" for message in messages]
    messages.append({"role": "assistant", "content": text_of(answer, record.name(answered), where)})
    return ended(messages, [*targets, True], shape, {})


def asked_before(messages: Sequence[Any], question: Any) -> list[dict[str, Any]]:
    """The question as a message like these; none where one of them is a question already."""
    opening = [opened(message) for message in messages]
    said_by, said = keys_of(opening[0])
    is_there = any(role_of(message.get(speaker_of(message) or "")) == "user" for message in opening)
    if is_there or not isinstance(question, str) or not question.strip():
        return []
    return [{said_by: "user", said: question}]


def from_preferences(record: Fields, where: str) -> Conversation | LeftOut:
    """Of two answers the chosen one is learned; the other is not used."""
    chosen = unpacked(record[CHOSEN])
    asked = record.first(QUESTIONS)
    if asked is None and isinstance(chosen, list) and looks_like_messages(chosen):
        return replace(from_list(chosen, record, where), shape=PREFERENCES)
    if asked is None:  # a whole conversation as a text, as in hh-rlhf
        messages = messages_in(chosen) if isinstance(chosen, str) else None
        if messages is None:
            raise TextUnreadable(
                f"{where} has a chosen and a rejected answer, and no question.",
                'Preferences look like {"prompt": "…", "chosen": "…", "rejected": "…"}, or are lists of messages.',
            )
        return replace(from_list(messages, record, where), shape=PREFERENCES)
    return replace(of_pair(record, asked, chosen, CHOSEN, PREFERENCES, where), shape=PREFERENCES)


def text_of(value: object, name: str, where: str) -> str:
    """The text of a field; a number is its digits. Of several answers it is the first. Raises TextUnreadable."""
    if is_nothing(value):
        return ""
    if isinstance(value, dict) and isinstance(inner := value.get("text"), (str, list)):
        value = inner  # SQuAD's answers: {"text": ["…"], "answer_start": [5]}
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = value[0] if value else ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise TextUnreadable(
            f"{where} has {kind_of(value)} in the field {name!r}, where a text should be.", "Write a string there."
        )
    return clean(value)
