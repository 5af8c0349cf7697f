"""Read conversations in the common dataset formats as one format: messages with a role and a content.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}   the OpenAI format
    {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}       ShareGPT
    {"instruction": "…", "input": "…", "output": "…"}                                        Alpaca
    {"prompt": "…", "completion": "…"}                                                       and other such pairs
    {"prompt": "…", "chosen": "…", "rejected": "…"}                                          preferences

The field names of a record decide its format (names.py). Conversations that are written out in a text, with
special tokens between the turns, are read by the text's own reader (text/marks.py), and come here as messages.

>>> found = ConversationRecords().read({"question": "What is a sonnet?", "answer": "A poem."}, "line 1")
>>> [(message["role"], message["content"]) for message in found.messages], found.shape
([('user', 'What is a sonnet?'), ('assistant', 'A poem.')], "as pairs of 'question' and 'answer'")
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from homespun.errors import TextUnreadable
from homespun.text.document import whole_characters

NO_ANSWER, NO_QUESTION, BAD_ANSWER = "no answer", "nothing before the answer", "an answer marked as bad"
DAMAGED = "something is wrong with it"
EXPECTED = (
    "A conversation looks like "
    '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
)
WITHOUT_IT = "Or leave such records out, and have them counted, with --skip-bad."


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
    """A conversation that cannot be trained on, and why; or `count` of one source. about: what is wrong."""

    reason: str
    shape: str
    count: int = 1
    about: str = ""


def count(counts: dict[str, tuple[int, str]], reason: str, first: str, number: int = 1) -> None:
    """Counts what was left out or changed: by the reason how many, and the first one.

    >>> counts = {}
    >>> count(counts, NO_ANSWER, "chat.jsonl:7"); count(counts, NO_ANSWER, "chat.jsonl:9")
    >>> counts
    {'no answer': (2, 'chat.jsonl:7')}
    """
    before, known = counts.get(reason, (0, first))
    counts[reason] = before + number, known


@dataclass(frozen=True)
class Fragment:
    """A record that is a single message of a conversation. group: of which one; "" where it does not say."""

    message: Mapping[str, Any]
    group: str


class ConversationRecords:
    """Reads records of files (see text/formats): a Conversation, LeftOut, or None for any other record.

    skip_bad: a malformed record is left out, and is no error.
    """

    expected = f"{EXPECTED}; docs/finetune.md shows the others."

    def __init__(self, *, skip_bad: bool = False) -> None:
        self.skip_bad = skip_bad
        self.found_one = False

    def read(self, record: object, where: str) -> Conversation | Fragment | LeftOut | None:
        """Return the conversation in a record, or the message of one, LeftOut, or None.

        Raises TextUnreadable, which names the place, for a conversation that is malformed.
        """
        if isinstance(record, LeftOut):
            return record  # it was damaged before it could be read
        try:
            found = conversation_in(record, where)
        except TextUnreadable as error:
            self.found_one = True
            return self.instead_of(error)
        self.found_one |= found is not None
        return found

    def instead_of(self, error: TextUnreadable) -> LeftOut | None:
        """What stands for a malformed record; None where it is an error of a text. Raises TextUnreadable for one
        among conversations, with the way to leave it out.
        """
        if self.skip_bad:
            return LeftOut(DAMAGED, "", about=error.what)
        if self.found_one:
            raise TextUnreadable(error.what, f"{error.todo}\n{WITHOUT_IT}") from error
        return None


def conversation_in(record: object, where: str) -> Conversation | Fragment | LeftOut | None:
    """As `ConversationRecords.read`."""
    from homespun.conversations import messages, pairs
    from homespun.conversations.names import LISTS, Fields

    if isinstance(record, list):
        return messages.from_list(record, Fields({}), where) if messages.looks_like_messages(record) else None
    if not isinstance(record, dict):
        return None
    fields = Fields(record)
    for name in LISTS:
        items = messages.unpacked(fields[name]) if name in fields else None
        if isinstance(items, list) and (name == "messages" or messages.looks_like_messages(items) or not items):
            return messages.from_list(items, fields, where)
    return pairs.from_fields(fields, where) or messages.fragment_in(fields)


# --- what every format has -----------------------------------------------------------------------------------


def clean(text: str) -> str:
    r"""Return the text with "\n" as line ends and without lone surrogates, as everywhere in homespun.

    >>> clean("one\r\ntwo")
    'one\ntwo'
    """
    return whole_characters(text.replace("\r\n", "\n").replace("\r", "\n"))


def ended(
    messages: Sequence[Mapping[str, Any]], targets: Sequence[bool], shape: str, names: Mapping[str, Any]
) -> Conversation | LeftOut:
    """Return the conversation without empty answers, and without what follows the last answer (never a target)."""
    has_words = [bool(message["content"].strip() or message.get("tool_calls")) for message in messages]
    answers = [at for at, is_one in enumerate(targets) if is_one and has_words[at]]
    if not answers:
        return LeftOut(NO_ANSWER, shape)
    end, chosen = answers[-1] + 1, set(answers)
    return Conversation(tuple(messages[:end]), tuple(at in chosen for at in range(end)), shape, names)


def kind_of(value: object) -> str:
    """Return the name of a JSON type for messages.

    >>> kind_of([1, 2]), kind_of(5)
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


def is_nothing(value: object) -> bool:
    """Whether a cell is empty: null, or NaN, as pandas writes it."""
    return value is None or (isinstance(value, float) and value != value)
