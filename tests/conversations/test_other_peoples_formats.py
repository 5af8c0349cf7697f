"""Conversations in the names that other people give them; what nobody can be sure of is refused or reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.conversations.conversation import Conversation, ConversationRecords, LeftOut
from homespun.conversations.recognise import ConversationReader, Found, recognise
from homespun.errors import TextUnreadable

TURN = [("user", "a"), ("assistant", "b")]


def read(record: object) -> Any:
    return ConversationRecords().read(record, "chat.jsonl, line 1,")


def said(record: object) -> list[tuple[str, str]]:
    conversation = read(record)
    assert isinstance(conversation, Conversation), conversation
    return [(message["role"], message["content"]) for message in conversation.messages]


def found_in(path: Path, *records: object, reader: ConversationReader | None = None) -> Found:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    found = recognise([path], reader=reader)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Question", "Answer"), (" question ", "ANSWER"), ("questions", "answers"), ("Instruction", "Output"),
        ("prompt", "answer"), ("prompt", "output"), ("instruction", "answer"), ("query", "answer"),
        ("user", "assistant"), ("human", "assistant"), ("problem", "solution"), ("source", "target"),
        ("inputs", "targets"), ("q", "a"), ("text", "response"), ("prompt", "text"),
        ("User Message", "Bot Response"),
    ],
)  # fmt: skip
def test_a_question_and_an_answer_are_known_by_any_usual_names(asked: str, answered: str) -> None:
    assert said({asked: "a", answered: "b", "id": "x-1"}) == TURN


def serialised(name: str, content: str) -> dict[str, Any]:
    """As LangChain dumps a message."""
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": content}}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"id": "t0.1", "system_prompt": "s", "question": "a", "response": "b"}, [("system", "s"), *TURN]),
        ({"System Prompt": "s", "Question": "a", "Answer": "b"}, [("system", "s"), *TURN]),
        ({"instruction": "a", "context": "c", "response": "b", "category": "open_qa"},
         [("user", "a\n\nc"), ("assistant", "b")]),
        ({"instruction": "a", "input": float("nan"), "output": "b"}, TURN),
        ({"instruction": "a", "input": None, "output": "b", "system": float("nan")}, TURN),
        ({"question": "a", "answer": 4}, [("user", "a"), ("assistant", "4")]),
        ({"context": "c", "question": "a", "answers": {"text": ["b", "x"], "answer_start": [1, 2]}},
         [("user", "a\n\nc"), ("assistant", "b")]),
        ({"instruction": "a", "output": "b", "history": [["h", "i"]]}, [("user", "h"), ("assistant", "i"), *TURN]),
        ({"messages": [{"type": "human", "content": "a"}, {"type": "ai", "content": "b"}]}, TURN),
        ({"messages": [{"type": "human", "data": {"content": "a"}},
                       {"type": "ai", "data": {"content": "b"}}]}, TURN),
        ({"messages": [serialised("HumanMessage", "a"), serialised("AIMessage", "b")]}, TURN),
        ({"contents": [{"role": "user", "parts": [{"text": "a"}]},
                       {"role": "model", "parts": [{"text": "b"}]}]}, TURN),
        ({"systemInstruction": {"parts": [{"text": "s"}]},
          "contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]},
         [("system", "s"), *TURN]),
        ({"conversation": [{"speaker": "Human", "text": "a"}, {"speaker": "Chatbot", "text": "b"}]}, TURN),
        ({"Messages": [{"Role": "user", "Content": "a"}, {"Role": "assistant", "Content": "b"}]}, TURN),
        ({"messages": str([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])}, TURN),
        ({"messages": "[{'role': 'user', 'content': 'a'}\n {'role': 'assistant', 'content': 'b'}]"}, TURN),
        ({"conversations": [{"from": "prompter", "value": "a"}, {"from": "AI", "value": "b"}]}, TURN),
    ],
)  # fmt: skip
def test_every_shape_becomes_messages(record: object, expected: list[tuple[str, str]]) -> None:
    assert said(record) == expected


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"question": "a", "chosen": "b", "rejected": "c", "system": ""},
        {"prompt": "a", "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
         "rejected": []},
        {"prompt": "a", "chosen": [{"role": "Human", "content": "a"}, {"role": "Assistant", "content": "b"}],
         "rejected": []},
        {"prompt": "a", "chosen": [{"role": "assistant", "content": "b"}], "rejected": []},
        {"prompt": "a", "chosen": [{"from": "gpt", "value": "b"}], "rejected": []},
        {"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "rejected": []},
        {"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assistant", "content": "b"}],
         "rejected": []},
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"},
    ],
)  # fmt: skip
def test_of_preferences_the_chosen_answer_is_learned_and_said(record: object, tmp_path: Path) -> None:
    assert said(record) == TURN
    assert read(record).targets == (False, True)
    assert "preferences, of which the chosen answer is trained on" in found_in(tmp_path / "a.jsonl", record).said


def test_an_answer_that_is_marked_as_bad_is_left_out() -> None:
    assert said({"prompt": "a", "completion": "b", "label": True}) == TURN
    left_out = read({"prompt": "a", "completion": "b", "label": False})
    assert isinstance(left_out, LeftOut) and "bad" in left_out.reason


@pytest.mark.parametrize(
    "record",
    [
        {"text": "a"}, {"prompt": "a", "url": "b"}, {"source": "web", "text": "a"}, {"title": "a", "text": "b"},
        {"messages": "[__import__('os').system('id')]"},
        {"user": "anna", "text": "b"}, {"question": "a"}, {"chat": ["a", "b"]},
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_left_to_the_texts(record: object) -> None:
    assert read(record) is None


def test_a_table_with_a_message_a_row_is_conversations(tmp_path: Path) -> None:
    rows = [
        {"conversation_id": n // 2, "role": ("user", "assistant")[n % 2], "content": f"says {n}"}
        for n in range(20)
    ]
    found = found_in(tmp_path / "a.jsonl", *rows)
    assert found.conversations == 10 and not found.texts
    first = next(found.entries()).record
    assert isinstance(first, Conversation) and [m["content"] for m in first.messages] == ["says 0", "says 1"]
    csv = "".join(f"{row['conversation_id']},{row['role']},{row['content']}\n" for row in rows)
    (tmp_path / "b.csv").write_text("Conversation ID,Role,Content\n" + csv)
    again = recognise([tmp_path / "b.csv"])
    assert again is not None and again.conversations == 10


def test_messages_without_an_id_begin_anew_at_a_system_text(tmp_path: Path) -> None:
    one = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    assert found_in(tmp_path / "a.jsonl", *one, *one, *one[:2]).conversations == 2
    assert found_in(tmp_path / "b.jsonl", *one[1:], *one[1:]).conversations == 1


def test_conversations_written_out_in_texts_are_known_as_such(tmp_path: Path) -> None:
    texts = [
        f"<|im_start|>user\nwho is {n}<|im_end|>\n<|im_start|>assistant\nit is {n}<|im_end|>\n" for n in range(3)
    ]
    found = found_in(tmp_path / "a.jsonl", *({"text": text} for text in texts))
    assert "3 conversations written out in a text" in found.said
    (tmp_path / "b.txt").write_text("".join(f"<s>[INST] who is {n} [/INST] it is {n}</s>\n" for n in range(3)))
    again = recognise([tmp_path / "b.txt"])
    assert again is not None and again.conversations == 3


# ---- tools ----


CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "weather", "arguments": '{"city": "Rome"}'},
        },
        {"role": "function_call", "content": '{"name": "weather", "arguments": {"city": "Rome"}}'},
    ],
)
def test_arguments_of_tools_are_an_object_as_servers_hand_them_to_the_template(answer: Any) -> None:
    found = read({"messages": [{"role": "user", "content": "Weather?"}, answer]})
    (call,) = found.messages[1]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": {"city": "Rome"}}


def test_arguments_that_are_no_json_stay_what_they_are() -> None:
    call = {"function": {"name": "say", "arguments": "Rome"}}
    found = read({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}]})
    assert found.messages[1]["tool_calls"][0]["function"]["arguments"] == "Rome"


# ---- one bad record ----


def test_a_bad_record_is_named_and_with_skip_bad_counted(tmp_path: Path) -> None:
    good = [
        {"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "b"}]}
        for n in range(9)
    ]
    bad = {"messages": [{"role": "boss", "content": "a"}]}
    with pytest.raises(TextUnreadable) as caught:
        found_in(tmp_path / "a.jsonl", *good[:4], bad, *good[4:])
    assert "line 5, message 1, says 'role': 'boss'" in caught.value.what
    assert "--skip-bad" in caught.value.todo
    found = found_in(tmp_path / "a.jsonl", *good[:4], bad, *good[4:], reader=ConversationReader(skip_bad=True))
    assert found.conversations == 9
    assert "1 left out: something is wrong with it" in found.said and "line 5" in found.said


def test_a_line_that_is_no_json_and_one_without_a_text_are_skipped_too(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "b"}
    good = [json.dumps({"messages": [{"role": "user", "content": f"{n}"}, answer]}) for n in range(9)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*good[:4], '{"messages": [', *good[4:], '{"n": [1, 2]}']))
    with pytest.raises(TextUnreadable, match="line 5") as caught:
        recognise([path])
    assert "--skip-bad" in caught.value.todo
    found = recognise([path], reader=ConversationReader(skip_bad=True))
    assert found is not None and found.conversations == 9
    assert "2 left out: something is wrong with it" in found.said and "line 5" in found.said


# ---- long ones ----


def talk_of(count: int) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": f"message {at}"} for at in range(count)]}


def test_a_conversation_of_years_becomes_many_in_which_every_answer_is_a_target_once(tmp_path: Path) -> None:
    found = found_in(tmp_path / "years.jsonl", talk_of(2000))
    assert len(found.keys) > 20
    targets = [
        message["content"]
        for entry in found.entries()
        if isinstance(entry.record, Conversation)
        for message, target in zip(entry.record.messages, entry.record.targets, strict=True)
        if target
    ]
    assert targets == [f"message {at}" for at in range(1, 2000, 2)]
    assert all(entry.record.messages[0]["role"] == "user" for entry in found.entries())  # type: ignore[union-attr]
    assert any("1 long conversation is divided into" in note for note in found.notes)


def test_every_part_begins_with_the_system_text(tmp_path: Path) -> None:
    long = {"system": "Be kind.", **talk_of(400)}
    for entry in found_in(tmp_path / "a.jsonl", long).entries():
        assert isinstance(entry.record, Conversation)
        assert [message["role"] for message in entry.record.messages[:2]] == ["system", "user"]
