"""Talking to a model: a conversation with one that answers, a manuscript with one that only completes.

Both remember what was said, take a turn back, and go into a file and out of it. Neither prints anything.

    talk = Conversation(model, chat_tokenizer(tokenizer))
    for piece in talk.say("Good day."):   # the answer, in whole characters, as it comes
        print(piece, end="")
    talk.undo()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homespun.errors import ModelError, TextUnreadable
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.generation.stopping import StopStrings
from homespun.generation.text import Pieces, characters_after, generate_pieces, submit
from homespun.tokenizer.prompt import encode_prompt, readable

if TYPE_CHECKING:
    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.chat_template import ChatTokenizer
    from homespun.tokenizer.tokenizer import Tokenizer

ROLES = ("user", "assistant")
LEAST_ROOM = 4  # for an answer: at least this part of context_length: 1 in 4
SHORT_ANSWER = 96  # tokens: a sentence or two of a model of characters


@dataclass(frozen=True)
class Turn:
    """Something that was said. role: "user" or "assistant"."""

    role: str
    content: str


class Answer(Iterator[str]):
    """What the model says, as it comes. At its end, also where it is stopped, `keep` is given all of it, once."""

    def __init__(self, pieces: Pieces, keep: Callable[[str], None]) -> None:
        self.pieces = pieces
        self.keep = keep
        self.text = ""
        self.over = False

    def __next__(self) -> str:
        if self.over:
            raise StopIteration
        try:
            piece = next(self.pieces)
        except BaseException:  # the end of it, or something that went wrong: what was said was said
            self.end()
            raise
        self.text += piece
        return piece

    def stop(self) -> None:
        """The model says no more. What it has said stays."""
        self.pieces.cancel()
        self.end()

    def end(self) -> None:
        if not self.over:
            self.over = True
            self.keep(self.text)


class Conversation:
    """With a model that has a chat template.

    system        the system message; "" for none
    turns         what was said, all of it; user and assistant take turns
    first         the first turn that the model still sees: the oldest are dropped where the
                  conversation is longer than its context, the system text never
    max_tokens    the most tokens of an answer
    """

    def __init__(
        self,
        model: CausalLM | Engine,
        tokenizer: ChatTokenizer,
        *,
        context_length: int | None = None,
        max_tokens: int = 1000,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.context_length = context_length or context_of(model)
        self.max_tokens = max_tokens
        self.system = ""
        self.turns: list[Turn] = []
        self.first = 0

    def say(self, text: str, sampling: Sampling | None = None) -> Answer:
        """The model's answer. Raises ModelError where the text alone is too long for it, TokenizerError
        where it cannot be written down; the conversation is then as it was before."""
        turns = [*self.turns, Turn("user", text)]
        first, ids = self.what_fits(turns)
        request = Request(
            ids,
            max_tokens=min(self.max_tokens, self.context_length - len(ids) + 1),
            sampling=sampling or Sampling(),
            stop_ids=self.tokenizer.ends,
            below=self.tokenizer.tokenizer.vocab_size,
        )
        characters = characters_after(self.tokenizer.tokenizer, ids)
        pieces = Pieces(submit(self.model, request), characters, StopStrings(()))
        self.turns, self.first = turns, first
        return Answer(pieces, lambda answer: self.turns.append(Turn("assistant", answer)))

    def what_fits(self, turns: Sequence[Turn]) -> tuple[int, list[int]]:
        """The first turn that the model is shown, and the ids of it and all after it, with room for an answer."""
        room = min(self.max_tokens, room_for_an_answer(self.context_length))
        first = self.first
        while True:
            asked = self.messages(turns[first:])
            for message in asked:
                message["content"] = readable(self.tokenizer.tokenizer, message["content"])
            ids = self.tokenizer.encode(asked, answer=True)
            if len(ids) + room - 1 <= self.context_length:
                return first, ids
            if first + 2 >= len(turns):
                raise ModelError(
                    f"This is too long: with the system text it has {len(ids):,} tokens, and the "
                    f"model's context has {self.context_length:,}, of which {room:,} are kept for the answer.",
                    "Say it in fewer words, or in several turns.",
                )
            first += 2  # a question goes with its answer: many templates want them in turn

    def messages(self, turns: Sequence[Turn]) -> list[dict[str, str]]:
        """As templates, and most programs, write a conversation."""
        system = [Turn("system", self.system)] if self.system else []
        return [{"role": turn.role, "content": turn.content} for turn in [*system, *turns]]

    def undo(self) -> bool:
        """Takes back the last question and its answer; False where there is none."""
        if not self.turns:
            return False
        del self.turns[-2:]
        self.first = 0  # what was dropped may fit again
        return True

    def to_json(self) -> dict[str, Any]:
        return {"messages": self.messages(self.turns)}

    def from_json(self, saved: Any) -> None:
        """Goes on with a conversation that was saved. Raises TextUnreadable, and is then as it was before."""
        self.system, self.turns = checked(saved)
        self.first = 0


class Manuscript:
    """With a model that only completes text: you write, it goes on.

    passages      what stands there, in order; every other one is the model's, and may be empty
    max_tokens    the most tokens that the model writes at a time
    """

    def __init__(self, model: CausalLM | Engine, tokenizer: Tokenizer, *, max_tokens: int = 100) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.passages: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.passages)

    def write(self, passage: str, sampling: Sampling | None = None) -> Answer:
        """The text with that passage goes on. Raises UnknownCharacter, and the text is then as it was before."""
        pieces = generate_pieces(
            self.model,
            self.tokenizer,
            self.text + passage,
            max_tokens=self.max_tokens,
            sampling=sampling or Sampling(),
        )
        self.passages.append(passage)
        return Answer(pieces, self.passages.append)

    def undo(self) -> bool:
        """Takes back the model's last passage and what was written before it; False where there is none."""
        if not self.passages:
            return False
        del self.passages[-2:]
        return True

    def begin(self, text: str) -> None:
        """Goes on with a text that is there. Raises UnknownCharacter, and the text is then as it was before."""
        encode_prompt(self.tokenizer, text)
        self.passages = [text, ""] if text else []

    def tokens(self) -> int:
        return len(encode_prompt(self.tokenizer, self.text))


def room_for_an_answer(context_length: int) -> int:
    """Tokens that are kept for it: a part of context_length, or half of it where it is small.

    >>> [room_for_an_answer(length) for length in (1, 128, 256, 8192)]
    [1, 64, 96, 2048]
    """
    return max(context_length // LEAST_ROOM, min(context_length // 2, SHORT_ANSWER), 1)


def context_of(model: CausalLM | Engine) -> int:
    """The largest number of tokens in the context."""
    return model.model.config.context_length if isinstance(model, Engine) else model.config.context_length


def checked(saved: Any) -> tuple[str, list[Turn]]:
    """The system text and the turns of a saved conversation. Raises TextUnreadable.

    >>> checked({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]})
    ('', [Turn(role='user', content='Hi'), Turn(role='assistant', content='Hello')])
    """
    messages = saved.get("messages") if isinstance(saved, dict) else saved
    if not isinstance(messages, list):
        raise unreadable("it has no list of messages")
    turns = []
    for number, message in enumerate(messages, start=1):
        role, content = (
            (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        )
        if not isinstance(role, str) or not isinstance(content, str):
            raise unreadable(f"message {number} has no role and content that are strings")
        turns.append(Turn(role, content))
    system = turns.pop(0).content if turns and turns[0].role == "system" else ""
    for number, turn in enumerate(turns):
        if turn.role != ROLES[number % 2]:
            raise unreadable(f"a message of {turn.role[:40]!r} stands where one of {ROLES[number % 2]!r} should")
    if len(turns) % 2:
        raise unreadable("the last question has no answer")
    return system, turns


def unreadable(why: str) -> TextUnreadable:
    return TextUnreadable(
        f"This is no saved conversation: {why}.",
        'It looks like {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}.',
    )
