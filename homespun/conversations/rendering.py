"""Render a conversation to ids, and mark the answers: the target tokens, with the token that ends the turn.

The text is exactly what the model's chat template renders. Some templates mark where an answer begins and ends
with {% generation %}. For the others it follows from how the model is used: it gets the conversation up to a
question as its prompt, and what an answer adds to that is the answer. Some templates render earlier turns
differently when the conversation continues (they leave out the reasoning): then each answer becomes an example of
its own, after the context that the model has at generation, and no answer is a target twice.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.conversations.conversation import Conversation
from homespun.errors import TokenizerError
from homespun.tokenizer.chat_template import ANSWER, ANSWERED, APART, ChatTokenizer, aliased

if TYPE_CHECKING:
    from tokenizers import Encoding


class Answer(NamedTuple):
    """The target tokens `start` to `end` (exclusive) of an example, and the size of their text."""

    start: int
    end: int
    characters: int
    bytes: int


@dataclass(frozen=True)
class Example:
    """A sequence for training: ids (n,), and the answers in it, in order."""

    ids: list[int]
    answers: list[Answer]


@dataclass(frozen=True)
class Written:
    """A text as `ChatTokenizer.written` returns it, and the character ranges of its targets."""

    text: str
    targets: list[tuple[int, int]]


@dataclass(frozen=True)
class TemplateInput:
    """A conversation as input of a template, with APART inserted into text that looks like a special token."""

    messages: list[dict[str, Any]]
    names: dict[str, Any]
    targets: tuple[bool, ...]


class Places:
    """Maps the characters of a text that was encoded part by part to tokens."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.length = 0
        self.parts: list[
            tuple[int, int, int, Encoding]
        ] = []  # first and last character (exclusive), first id, encoding

    def add(self, part: str, encoding: Encoding, ids: list[int]) -> None:
        self.parts.append((self.length, self.length + len(part), len(self.ids), encoding))
        self.ids += ids
        self.length += len(part) + len(APART)

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of tokens that hold the characters `start` to `end` (both ranges exclude the end)."""
        return self._token_of(start), max(self._token_of(end), self._token_of(end - 1) + 1 if end > start else 0)

    def _token_of(self, character: int) -> int:
        """Return the first token that holds that character or, if none does, the next one that a token holds."""
        at = bisect_right(self.parts, character, key=lambda part: part[0]) - 1
        begin, end, first, encoding = self.parts[at]
        for place in range(character - begin, end - begin):
            if (token := encoding.char_to_token(place)) is not None:
                return first + (token if end - begin > 1 else 0)
        return self.parts[at + 1][2] if at + 1 < len(self.parts) else len(self.ids)


class Renderer:
    """Renders conversations to examples, with the template of one tokenizer."""

    def __init__(self, chat: ChatTokenizer) -> None:
        self.chat = chat

    def examples(self, conversations: Sequence[Conversation]) -> list[list[Example]]:
        """Return the examples of each conversation: one, or one per answer if the template changes earlier turns.

        Raises TokenizerError if the template rejects a conversation, or the tokenizer has no id for one of its
        characters.
        """
        written = [self.written(conversation) for conversation in conversations]
        parts = [part for several in written for one in several for part in one.text.split(APART)]
        encodings = iter(self.chat.encode_parts(parts))
        return [[self._example(one, encodings) for one in several] for several in written]

    def _example(self, written: Written, encodings: Iterator[Encoding]) -> Example:
        places = Places()
        for part in written.text.split(APART):
            encoding = next(encodings)
            # A part of one character was separated by APART, and may itself be the name of a token.
            places.add(part, encoding, self.chat.tokenizer.encode(part) if len(part) == 1 else encoding.ids)
        answers = []
        for start, end in written.targets:
            first, last = places.tokens(start, end)
            if first < last:
                words = self._ends.sub("", written.text[start:end]).replace(APART, "")
                answers.append(Answer(first, last, len(words), len(words.encode())))
        return Example(places.ids, answers)

    def written(self, conversation: Conversation) -> list[Written]:
        """Return the texts of a conversation, with the targets of each. Raises TokenizerError."""
        given = TemplateInput(
            self.chat.kept_apart(aliased(conversation.messages)),
            self.chat.kept_apart(conversation.names),
            conversation.targets,
        )
        if self.chat.template.marks_answers:
            return [self._as_marked(given)]
        spans = [self._answer(given, at) for at, targets in enumerate(given.targets) if targets]
        text = spans[-1].text
        if all(text.startswith(span.text[: span.targets[0][1]]) for span in spans):
            return [Written(text, [stretch for span in spans for stretch in span.targets])]
        return spans

    def _as_marked(self, given: TemplateInput) -> Written:
        """Return the text with the targets that the template marks, each with its end-of-turn token."""
        marked = self.chat.written(given.messages, marked=True, **given.names)
        text, stretches = without_marks(marked)
        answers = [at for at, message in enumerate(given.messages) if message["role"] == "assistant"]
        for speaking in (answers, range(len(given.messages))):  # some templates mark the messages of all roles
            if len(speaking) == len(stretches):
                stretches = [stretches[number] for number, at in enumerate(speaking) if given.targets[at]]
                break
        targets = []
        for start, end in stretches:
            behind = self._ends.match(text, end)
            targets.append((start, behind.end() if behind else end))
        return Written(text, targets)

    def _answer(self, given: TemplateInput, at: int) -> Written:
        """Return the conversation up to and including message `at`, an answer, which alone is the target."""
        messages, names = given.messages, given.names
        asked = self.chat.written(messages[:at], answer=True, **names)
        text = self.chat.written(messages[: at + 1], **names)
        start = len(asked)
        # the generation prompt differs from what the template puts before an answer
        if not text.startswith(asked):
            start = self._where_it_begins(given, at, asked, text)
        end = self._ends.search(text, start)
        return Written(text, [(start, end.end() if end else len(text))])

    def _where_it_begins(self, given: TemplateInput, at: int, asked: str, text: str) -> int:
        before = self.chat.written(given.messages[:at], **given.names)
        if not text.startswith(before):
            raise TokenizerError(
                "The model's chat template writes what was asked anew when there is an answer, "
                "so the place where the answer begins is unknown.",
                "Give it a template that adds to what was there, or marks answers with {% generation %}.",
            )
        words = str(given.messages[at]["content"])
        place = text.find(words, len(before)) if words else -1
        start = alike(asked, text)
        return min(start, place) if place >= 0 else start

    @cached_property
    def _ends(self) -> re.Pattern[str]:
        """The tokens that end a turn. Messages contain none: there, text that looks like one is split by APART."""
        names = [name for name, id in self.chat.tokenizer.special_tokens.items() if id in self.chat.ends]
        return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")


def alike(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts, in characters.

    >>> alike("assistant: <think>", "assistant: Good day.")
    11
    """
    differs = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differs, min(len(one), len(other)))


def without_marks(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without the ANSWER markers, and the ranges that they marked.

    >>> without_marks(f"ask {ANSWER}answer{ANSWERED}.")
    ('ask answer.', [(4, 10)])
    """
    parts: list[str] = []
    stretches, length, start = [], 0, 0
    for part in re.split(f"([{ANSWER}{ANSWERED}])", marked):
        if part == ANSWER:
            start = length
        elif part == ANSWERED:
            stretches.append((start, length))
        else:
            parts.append(part)
            length += len(part)
    return "".join(parts), stretches
