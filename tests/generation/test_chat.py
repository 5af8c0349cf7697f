"""Conversations and manuscripts, with a model that recites and a tokenizer of bytes."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest

from homespun.errors import ModelError, TextUnreadable, UnknownCharacter
from homespun.generation import chat
from homespun.generation.chat import Conversation, Manuscript, Turn
from tests.generation.fakes import ByteTokenizer, Parrot

END = 256


class ByteChat:
    """A chat tokenizer: `U` before what the user says, `A` before an answer, `.` behind both."""

    def __init__(self) -> None:
        self.tokenizer = ByteTokenizer()
        self.ends = frozenset({END})

    def encode(self, messages: list[dict[str, str]], *, answer: bool = False) -> list[int]:
        text = "".join(message["role"][0].upper() + message["content"] + "." for message in messages)
        return self.tokenizer.encode(text + "A" * answer)


def talking(lines: str, context_length: int = 100, **settings: Any) -> tuple[Conversation, Parrot]:
    """With a model that says these lines; a | ends an answer."""
    model = Parrot([END if id == ord("|") else id for id in lines.encode()], context_length)
    return Conversation(model, ByteChat(), **settings), model  # type: ignore[arg-type]


def seen(model: Parrot) -> list[str]:
    """What the model read, each time before it said the first token of an answer."""
    texts = [bytes(ids).decode() for ids in model.seen]
    return [text for text in texts if text.endswith("A")]


def test_an_answer_ends_where_the_model_ends_it_and_all_of_it_is_seen_with_the_next_question() -> None:
    talk, model = talking("Hello|You|")
    assert "".join(talk.say("Hi")) == "Hello"
    assert "".join(talk.say("Who?")) == "You"
    assert seen(model) == ["UHi.A", "UHi.AHello.UWho?.A"]
    assert [turn.content for turn in talk.turns] == ["Hi", "Hello", "Who?", "You"]


def test_what_was_said_until_it_was_stopped_stays() -> None:
    talk, _ = talking("Hello|")
    answer = talk.say("Hi")
    assert next(answer) + next(answer) == "He"
    answer.stop()
    assert list(answer) == []
    assert talk.turns == [Turn("user", "Hi"), Turn("assistant", "He")]


def test_undo_takes_a_question_back_with_its_answer() -> None:
    talk, model = talking("a|b|c|")
    for question in "12":
        list(talk.say(question))
    assert talk.undo() and [turn.content for turn in talk.turns] == ["1", "a"]
    list(talk.say("3"))
    assert seen(model)[-1] == "U1.Aa.U3.A"
    assert talk.undo() and talk.undo() and not talk.undo()
    assert talk.turns == []


def test_the_oldest_turns_are_dropped_and_the_system_text_never() -> None:
    talk, model = talking("ab|", context_length=30)
    talk.system = "S"
    for number in range(8):
        list(talk.say(str(number)))
    texts = seen(model)
    assert all(text.startswith("SS.U") and len(text) <= 16 for text in texts)
    assert texts[0] == "SS.U0.A" and texts[-1] == "SS.U6.Aab.U7.A"
    assert talk.first == 12 and len(talk.turns) == 16
    talk.undo()
    assert talk.first == 0


def test_an_answer_never_pushes_the_conversation_out_of_the_window() -> None:
    talk, model = talking("x", context_length=20)
    assert len("".join(talk.say("Hi"))) == 20 - len("UHi.A") + 1
    assert max(map(len, model.seen)) == 20 and all(bytes(ids).startswith(b"UHi.A") for ids in model.seen)


def test_what_is_too_long_is_refused_and_was_never_said() -> None:
    talk, _ = talking("ab|", context_length=20)
    list(talk.say("Hi"))
    with pytest.raises(ModelError, match="context has 20"):
        talk.say("x" * 30)
    assert [turn.content for turn in talk.turns] == ["Hi", "ab"]


def test_a_conversation_goes_into_a_file_and_out_of_it() -> None:
    talk, _ = talking("a|")
    talk.system = "Be brief"
    list(talk.say("1"))
    saved = json.loads(json.dumps(talk.to_json()))
    assert saved["messages"][0] == {"role": "system", "content": "Be brief"}
    other, _ = talking("b|")
    other.from_json(saved)
    assert (other.system, other.turns) == (talk.system, talk.turns)


@pytest.mark.parametrize(
    "saved",
    [
        None,
        {},
        {"messages": 5},
        [1],
        [{"role": "user"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": "a"}],
        [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}],
    ],
    ids=str,
)
def test_a_file_that_is_no_conversation_changes_nothing(saved: Any) -> None:
    talk, _ = talking("a|")
    list(talk.say("1"))
    with pytest.raises(TextUnreadable, match="no saved conversation"):
        talk.from_json(saved)
    assert [turn.content for turn in talk.turns] == ["1", "a"]


def test_a_manuscript_goes_on_and_takes_back() -> None:
    book = Manuscript(Parrot(list(b"xyz"), 100), ByteTokenizer(), max_tokens=3)  # type: ignore[arg-type]
    assert "".join(book.write("Once")) == "xyz"
    assert "".join(book.write("\nTwice")) == "xyz"
    assert book.text == "Oncexyz\nTwicexyz"
    assert book.tokens() == 16
    assert book.undo() and book.text == "Oncexyz"
    assert book.undo() and book.text == "" and not book.undo()


def test_a_manuscript_goes_on_from_a_text_that_is_there() -> None:
    model = Parrot(list(b"x"), 100)
    book = Manuscript(model, ByteTokenizer(), max_tokens=1)  # type: ignore[arg-type]
    book.begin("Once")
    list(book.write(" upon"))
    assert bytes(model.seen[-1]) == b"Once upon" and book.text == "Once uponx"
    assert book.undo() and book.text == "Once"


def test_what_the_tokenizer_does_not_know_was_never_written() -> None:
    class Ascii(ByteTokenizer):
        def encode(self, text: str) -> list[int]:
            if not text.isascii():
                raise UnknownCharacter("é", "Leave it out.")
            return super().encode(text)

    book = Manuscript(Parrot(list(b"x"), 100), Ascii(), max_tokens=1)  # type: ignore[arg-type]
    list(book.write("a"))
    for attempt in (book.write, book.begin):
        with pytest.raises(UnknownCharacter):
            attempt("é")
    assert book.text == "ax"


def test_what_goes_wrong_in_an_answer_leaves_what_was_said() -> None:
    talk, model = talking("Hello|")
    answer = talk.say("Hi")
    next(answer)
    model.forward = None  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError):
        list(answer)
    assert [turn.content for turn in talk.turns] == ["Hi", "H"]


def test_the_examples_in_the_docstrings_are_true() -> None:
    result = doctest.testmod(chat)
    assert result.attempted > 0 and result.failed == 0
