"""Conversations to examples that fit: divided where they are too long, and in turns where the template insists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from homespun.conversations.conversation import Conversation, count
from homespun.conversations.parts import (
    CHANGES,
    FOLDED,
    by_tokens,
    calls_as_text,
    in_halves,
    in_turns,
    with_less_asked,
    without_system,
)
from homespun.conversations.rendering import Example, Renderer
from homespun.errors import TokenizerError
from homespun.tokenizer.char import CharTokenizer
from homespun.tokenizer.lookalikes import adapted

if TYPE_CHECKING:
    from homespun.text.document import Document
    from homespun.tokenizer.chat_template import ChatTokenizer

PROBE = "a"
AS_JSON = "with calls of tools that are written as JSON, since the chat template has no place for them"
LOOK_ALIKES = "with look-alikes of characters that the model does not know, such as ' for ’"
SHORTENED = "with only the end of a question that is too long for its answer to fit"
LARGEST_ANSWER = 0.75  # of a row
REFUSED = "the model cannot write them down"


@dataclass
class Fitter:
    """Renders conversations, and counts what had to be done for it.

    longest: tokens of an example. left_out, changed: reason -> how many, and the first one.
    """

    chat: ChatTokenizer
    longest: int
    left_out: dict[str, tuple[int, str]] = field(default_factory=dict)
    changed: dict[str, tuple[int, str]] = field(default_factory=dict)
    origin: str = ""  # of the conversation that is being rendered

    @cached_property
    def renderer(self) -> Renderer:
        return Renderer(self.chat)

    def examples(self, documents: Sequence[Document]) -> list[list[Example]]:
        """Return the examples of each conversation; none of one that the template cannot render."""
        talks = [self.ready(document) for document in documents]
        parts = [self.parts(talk) for talk in talks]
        try:
            rendered = iter(self.renderer.examples([part for several in parts for part in several]))
        except TokenizerError:
            return [self.alone(document, talk) for document, talk in zip(documents, talks, strict=True)]
        found = []
        for document, several in zip(documents, parts, strict=True):
            self.origin = document.origin
            found.append([example for part in several for example in self.cut(part, next(rendered))])
        return found

    def ready(self, document: Document) -> Conversation:
        """The conversation, with calls of tools as text where the template has no place for them, and with
        look-alikes of characters that the model does not know.
        """
        assert isinstance(document.record, Conversation)
        talk = document.record
        if isinstance(self.chat.tokenizer, CharTokenizer) and (
            known := with_look_alikes(talk, self.chat.tokenizer)
        ):
            talk = known
            count(self.changed, LOOK_ALIKES, document.origin)
        if "tool_calls" in self.chat.template.source or not any("tool_calls" in one for one in talk.messages):
            return talk
        count(self.changed, AS_JSON, document.origin)
        return calls_as_text(talk)

    def parts(self, talk: Conversation) -> list[Conversation]:
        """Parts that are expected to fit; the conversation itself where it is short enough in any case."""
        around = [self.around.get(message["role"], max(self.around.values())) for message in talk.messages]
        letters = sum(len(str(message["content"])) for message in talk.messages)
        if letters + sum(around) <= self.longest or len(talk.messages) < 3:
            return [talk]
        try:
            ids = self.chat.tokenizer.encode_batch([str(message["content"]) for message in talk.messages])
        except TokenizerError:
            return [talk]  # `alone` says what is wrong with it
        sizes = [len(one) + more for one, more in zip(ids, around, strict=True)]
        return [talk] if sum(sizes) <= self.longest else by_tokens(talk, sizes, self.longest)

    @cached_property
    def around(self) -> dict[str, int]:
        """Tokens that the template writes around a message of each role: what a turn of a letter adds."""
        asked = [{"role": "user", "content": PROBE}]
        answered = [*asked, {"role": "assistant", "content": PROBE}]
        try:
            letter = len(self.chat.tokenizer.encode(PROBE))
            one, two, three = (len(self.chat.encode(talk)) for talk in (asked, answered, [*answered, *asked]))
        except TokenizerError:
            return {"user": 8, "assistant": 8}
        return {"user": max(1, three - two - letter), "assistant": max(1, two - one - letter)}

    def cut(self, part: Conversation, examples: list[Example]) -> list[Example]:
        """The examples of a part, or of its halves where they are too long and it can be divided."""
        if all(len(example.ids) <= self.longest for example in examples):
            return examples
        halves = in_halves(part)
        if not halves:
            return self.with_shorter_question(part, examples)
        rendered = self.renderer.examples(halves)
        return [one for half, several in zip(halves, rendered, strict=True) for one in self.cut(half, several)]

    def with_shorter_question(self, part: Conversation, examples: list[Example]) -> list[Example]:
        """The example of a single answer with the end of its question, where both together are too long.

        Of an answer that alone takes most of a row the rest is cut off later, and counted then.
        """
        if any(end - start > self.longest * LARGEST_ANSWER for one in examples for start, end, *_ in one.answers):
            return examples
        shorter = with_less_asked(part)
        while shorter is not None:
            (found,) = self.renderer.examples([shorter])
            if all(len(one.ids) <= self.longest for one in found):
                count(self.changed, SHORTENED, self.origin)
                return found
            shorter = with_less_asked(shorter)
        return examples

    def alone(self, document: Document, talk: Conversation) -> list[Example]:
        """The examples of one conversation, in turns where the template does not take it as it is."""
        self.origin = document.origin
        error: TokenizerError | None = None
        for version, changes in versions(talk):
            try:
                rendered = self.renderer.examples(parts := self.parts(version))
                examples = [
                    one for part, several in zip(parts, rendered, strict=True) for one in self.cut(part, several)
                ]
            except TokenizerError as problem:
                error = error or problem
                continue
            for change in changes:
                count(self.changed, CHANGES[change], document.origin)
            return examples
        assert error is not None
        count(self.left_out, REFUSED, f"{document.origin}: {in_short(error)}")
        return []

    @property
    def knows_few_characters(self) -> bool:
        return isinstance(self.chat.tokenizer, CharTokenizer)


def with_look_alikes(talk: Conversation, tokenizer: CharTokenizer) -> Conversation | None:
    """The conversation with look-alikes of characters that the tokenizer does not know; None if there are none."""
    found = [adapted(str(message["content"]), tokenizer.alphabet) for message in talk.messages]
    if not any(taken for _, taken in found):
        return None
    messages = tuple({**one, "content": text} for one, (text, _) in zip(talk.messages, found, strict=True))
    return replace(talk, messages=messages)


def versions(talk: Conversation) -> list[tuple[Conversation, list[str]]]:
    """The conversation as it is, and as templates may want it: in turns, and without a system text."""
    turned, changes = in_turns(talk)
    found = [(talk, []), (turned, changes)] if changes else [(talk, list[str]())]
    for version, before in list(found):
        folded = without_system(version)
        if folded is not None:
            found.append((folded, [*before, FOLDED]))
    return found


def in_short(error: TokenizerError) -> str:
    """Return the first line of an error without its position, which refers to rendered text that no user sees.

    >>> in_short(TokenizerError("'2' at line 2, column 1 is not known"))
    "'2' is not known"
    """
    first_line = error.what.partition("\n")[0].partition(': "')[0]
    return re.sub(r" at line [\d,]+, column [\d,]+", "", first_line)
