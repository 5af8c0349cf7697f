"""An export of a chat becomes conversations in which one of its people answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from homespun.conversations.conversation import Conversation
from homespun.conversations.recognise import ConversationReader, recognise
from homespun.conversations.talk import UNANSWERED, UNASKED, conversations_of
from homespun.errors import TextError
from homespun.text.chats.message import Chat, Message
from homespun.text.sources import read

START = datetime(2024, 1, 2, 10, 0)


def chat(*said: tuple[str, str, float]) -> Chat:
    """who, what, and the hour."""
    return Chat("WhatsApp", messages=[Message(who, what, START + timedelta(hours=at)) for who, what, at in said])


def turns(talk: Conversation) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in talk.messages]


def test_neighbouring_messages_of_one_person_are_joined_and_pauses_divide() -> None:
    export = chat(
        ("Anna", "Hi", 0), ("Anna", "Are you there?", 0.1), ("Ben", "Yes", 0.2), ("Ben", "Why?", 0.2),
        ("Anna", "Morning", 20), ("Ben", "Morning!", 20.1),
    )  # fmt: skip
    talks, left_out = conversations_of(export, "Ben")
    assert [turns(talk) for talk in talks] == [
        [("user", "Hi\nAre you there?"), ("assistant", "Yes\nWhy?")],
        [("user", "Morning"), ("assistant", "Morning!")],
    ]
    assert not left_out
    assert len(conversations_of(export, "Ben", pause=48)[0]) == 1


def test_nothing_is_lost_without_being_counted() -> None:
    export = chat(("Ben", "Anyone?", 0), ("Anna", "Hi", 1), ("Ben", "Yo", 1.1), ("Anna", "Bye", 1.2),
                  ("Ben", "Alone", 30), ("Anna", "Unheard", 60))  # fmt: skip
    talks, left_out = conversations_of(export, "Ben")
    assert [turns(talk) for talk in talks] == [[("assistant", "Anyone?"), ("user", "Hi"), ("assistant", "Yo")]]
    assert talks[0].targets == (False, False, True)
    assert left_out == {UNASKED: 2, UNANSWERED: 2}


def test_in_a_group_the_others_have_their_names() -> None:
    export = chat(("Anna", "Lunch?", 0), ("Cem", "Yes", 0.1), ("Cem", "At one", 0.1), ("Ben", "Fine", 0.2))
    (talk,), _ = conversations_of(export, "Ben")
    assert turns(talk) == [("user", "Anna: Lunch?\nCem: Yes\nAt one"), ("assistant", "Fine")]


@pytest.mark.parametrize("name", ["ben", "BEN", "Ben Müller", "müller", "Ben M"])
def test_a_person_is_known_by_a_part_of_the_name(name: str) -> None:
    export = chat(("Anna", "Hi", 0), ("Ben Müller", "Yo", 0.1))
    assert len(conversations_of(export, name)[0]) == 1


def test_a_name_that_is_nobodys_or_several_peoples_is_told_with_those_who_speak() -> None:
    export = chat(("Anna", "Hi", 0), ("Annabel", "Yo", 0.1), ("Anna", "Hm", 0.2))
    assert len(conversations_of(export, "Anna")[0]) == 1  # exactly hers
    with pytest.raises(TextError) as caught:
        conversations_of(export, "Dora")
    assert "Anna (2), Annabel (1)" in caught.value.what and "--as NAME" in caught.value.todo
    with pytest.raises(TextError, match="2 people are called 'ann'"):
        conversations_of(export, "ann")


def whatsapp(count: int) -> str:
    lines = []
    for at in range(count):
        when = START + timedelta(minutes=3 * at + 600 * (at // 40))
        lines.append(f"[{when:%d.%m.%y, %H:%M:%S}] {'Anna' if at % 2 == 0 else 'Ben'}: message {at}\n")
    return "".join(lines)


def test_a_whatsapp_export_becomes_conversations_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "_chat.txt"
    path.write_text(whatsapp(400), encoding="utf-8")
    found = recognise([path], reader=ConversationReader("Ben"))
    assert found is not None and found.conversations == 10
    assert "as WhatsApp writes them, in which Ben answers" in found.said
    assert any("6 hours without a message" in note for note in found.notes)
    answers = [
        m["content"] for entry in found.entries() for m in entry.record.messages if m["role"] == "assistant"
    ]  # type: ignore[union-attr]
    assert answers == [f"message {at}" for at in range(1, 400, 2)]
    corpus = read(path)
    assert recognise(corpus) is None  # without a name it is a text
    corpus.survey()
    assert any("to learn to answer as one of Anna, Ben: --as NAME" in note for note in corpus.notes)


def test_a_log_of_names_and_texts_will_do(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{'Anna' if at % 2 == 0 else 'Ben'}: message {at}\n" for at in range(300)))
    found = recognise([path], reader=ConversationReader("anna"))
    assert found is not None and found.conversations > 1


def test_where_there_is_no_chat_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("It was a dark night. " * 100)
    with pytest.raises(TextError) as caught:
        recognise([tmp_path / "book.txt"], reader=ConversationReader("Anna"))
    assert "no chat" in caught.value.what and "WhatsApp" in caught.value.todo
