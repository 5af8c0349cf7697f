"""Conversations are recognised in the shapes people have them in, and what is wrong with one is said."""

from __future__ import annotations

import doctest
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from homespun.conversations import conversation as conversations
from homespun.conversations import encoding, fitting, names, packing, pairs, parts, rendering, talk
from homespun.conversations import messages as lists
from homespun.conversations import recognise as found
from homespun.conversations import splits as preparing
from homespun.conversations.conversation import Conversation, ConversationRecords, LeftOut
from homespun.conversations.recognise import Found, recognise
from homespun.errors import NotEnoughText, TextUnreadable
from homespun.text.sources import read


def said(record: object) -> list[tuple[str, str]]:
    conversation = ConversationRecords().read(record, "chat.jsonl, line 1,")
    assert isinstance(conversation, Conversation)
    return [(message["role"], message["content"]) for message in conversation.messages]


def messages(*contents: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]}


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def found_in(*paths: Path) -> Found:
    result = recognise(paths)
    assert result is not None
    return result


TURN = [("user", "a"), ("assistant", "b")]


@pytest.mark.parametrize(
    "record, expected",
    [
        (messages("a", "b"), TURN),
        (messages("a", "b")["messages"], TURN),
        ({"conversation": messages("a", "b")["messages"]}, TURN),
        ({"messages": json.dumps(messages("a", "b")["messages"])}, TURN),  # as tables keep it
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, TURN),
        ({"conversations": [{"from": "User", "value": "a"}, {"from": "ChatGPT", "value": "b"}]}, TURN),
        ({"instruction": "a", "output": "b"}, TURN),
        ({"instruction": "a", "input": "", "output": "b"}, TURN),
        ({"instruction": "a", "input": "c", "output": "b"}, [("user", "a\n\nc"), ("assistant", "b")]),
        ({"instruction": "a", "context": "c", "response": "b"}, [("user", "a\n\nc"), ("assistant", "b")]),
        ({"prompt": "a", "completion": "b"}, TURN),
        ({"prompt": messages("a")["messages"], "completion": [{"role": "assistant", "content": "b"}]}, TURN),
        ({"question": "a", "answer": "b", "id": 7}, TURN),
        ({"input": "a", "output": "b"}, TURN),
        ({"system": "s", "question": "a", "answer": "b"}, [("system", "s"), *TURN]),
        ({"system": "s", **messages("a", "b")}, [("system", "s"), *TURN]),
        ({"text": "a b", **messages("a", "b")}, TURN),
        (messages("a\r\nx", "b\ud800"), [("user", "a\nx"), ("assistant", "b\ufffd")]),
        (messages("a", "b", "never answered"), TURN),
        (messages("a", "b", "c", " "), TURN),
        ({"messages": [{"role": "developer", "content": "s"}, *messages("a", "b")["messages"]]},
         [("system", "s"), *TURN]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "!"}]},
                       {"role": "assistant", "content": "b"}]}, [("user", "a!"), ("assistant", "b")]),
    ],
)  # fmt: skip
def test_every_shape_becomes_messages(record: object, expected: list[tuple[str, str]]) -> None:
    assert said(record) == expected


@pytest.mark.parametrize("record", [{"text": "a"}, {"title": "x", "body": "y"}, "a", 5, None, ["a", "b"], {}])
def test_what_is_no_conversation_is_left_to_the_texts(record: object) -> None:
    assert ConversationRecords().read(record, "here") is None


@pytest.mark.parametrize(
    "record",
    [messages("a"), messages("a", ""), {"messages": []}, {"question": "a", "answer": None}, {"messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]}],
)  # fmt: skip
def test_what_nothing_can_be_learnt_from_is_left_out(record: object) -> None:
    assert isinstance(ConversationRecords().read(record, "here"), LeftOut)


@pytest.mark.parametrize(
    "record, what, todo",
    [
        ({"messages": [{"role": "user", "content": "a"}, "b"]}, "message 2, is a string, not an object", '"role"'),
        ({"messages": [{"content": "a"}]}, "message 1, has no 'role'", "user, assistant"),
        ({"messages": [{"role": "boss", "content": "a"}]}, "'boss'", "user, assistant"),
        ({"messages": [{"role": "user", "content": 5}]}, "has no text as its 'content' but a number", '"content"'),
        ({"messages": [{"role": "user"}]}, "has no 'content'", "looks like"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "'image_url'", "pictures"),
        ({"conversations": [{"from": "alien", "value": "a"}]}, "'alien'", "human, gpt"),
        ({"question": "a", "answer": {"b": 5}}, "an object in the field 'answer'", "string"),
    ],
)  # fmt: skip
def test_a_conversation_with_something_wrong_in_it_is_told_with_its_place(
    record: Any, what: str, todo: str
) -> None:
    with pytest.raises(TextUnreadable) as caught:
        ConversationRecords().read(record, "chat.jsonl, line 7,")
    assert caught.value.what.startswith("chat.jsonl, line 7,") and what in caught.value.what
    assert todo in caught.value.todo


def test_a_tool_called_a_thousand_deep_is_told() -> None:
    deep: Any = "x"
    for _ in range(1000):
        deep = [deep]
    record = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [deep]}]}
    with pytest.raises(TextUnreadable, match="deep"):
        ConversationRecords().read(record, "here")


def test_tools_and_thoughts_are_kept_for_the_template() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    record = {
        "tools": [{"type": "function", "function": {"name": "add"}}],
        "messages": [
            {"role": "user", "content": "1 + 1?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "2", "tool_call_id": "x"},
            {"role": "assistant", "content": "Two.", "reasoning_content": "easy"},
        ],
    }
    conversation = ConversationRecords().read(record, "here")
    assert isinstance(conversation, Conversation)
    assert conversation.targets == (False, True, False, True)
    assert conversation.messages[1]["tool_calls"] == [call] and conversation.messages[2]["tool_call_id"] == "x"
    assert conversation.messages[3]["reasoning_content"] == "easy" and conversation.names["tools"]


def test_what_was_found_is_said(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "chat.jsonl", *[messages("a", f"b{at}") for at in range(5)], messages("x"), messages("y")
    )
    result = found_in(path)
    assert result.conversations == 5 and result.name == "chat"
    assert result.said == (
        f"5 conversations as OpenAI writes them, in {path}; 2 left out: no answer (the first is {path}:6)"
    )


def test_files_of_every_kind_and_all_together(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", messages("a", "b"))
    (tmp_path / "b.json").write_text(json.dumps([{"instruction": "a", "output": "b"}] * 2))
    (tmp_path / "c.json").write_text(json.dumps(messages("c", "d"), indent=1))
    (tmp_path / "d.csv").write_text('question,answer\r\na,"b, c"\r\n"two\nlines",d\r\n')
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(json.dumps(messages("e", "f")).encode()))
    (tmp_path / "g.tsv").write_text("prompt\tcompletion\na\tb\n")
    (tmp_path / "note.txt").write_text("A text among them.")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("inside.jsonl", json.dumps(messages("in", "side")))
    result = found_in(tmp_path)
    assert result.conversations == 9 and result.texts == 1
    assert dict(result.shapes) == {
        "as OpenAI writes them": 4,
        "as Alpaca writes them": 2,
        "as pairs of 'question' and 'answer'": 2,
        "as pairs of 'prompt' and 'completion'": 1,
    }
    assert len(list(result.entries())) == len(result.keys) == 10
    assert "and 1 text" in result.said


def test_a_parquet_table_of_messages(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [messages("a", "b"), messages("c", "d")]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "chat.parquet")
    assert found_in(tmp_path / "chat.parquet").conversations == 2
    parquet.write_table(pyarrow.Table.from_pylist([{"text": "a"}]), tmp_path / "text.parquet")
    assert recognise([tmp_path / "text.parquet"]) is None


def test_what_comes_through_a_pipe_is_known_by_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lines(tmp_path / "chat.jsonl", messages("a", "b"), messages("c", "d"))
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        result = recognise(["-"])
    assert result is not None and result.conversations == 2 and len(list(result.entries())) == 2
    (tmp_path / "unnamed").write_text(path.read_text())
    assert found_in(tmp_path / "unnamed").key == result.key
    (tmp_path / "code").write_text('{"a": 1}\n')
    assert recognise([tmp_path / "code"]) is None


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.txt", "To be, or not to be."),
        ("a.jsonl", '{"text": "a text"}\n{"text": "another"}'),
        ("a.json", '{"name": "homespun", "version": 1}'),
        ("a.json", "{ no JSON at all"),
        ("a.csv", "title,text\nx,y\n"),
        ("a.csv", "title,body\nx,y\n"),
        ("a.py", '{"messages": []}'),
    ],
)
def test_texts_stay_texts(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert recognise([tmp_path / name]) is None
    assert list(read(tmp_path / name).documents())


def test_whoever_wants_to_train_on_conversations_is_shown_the_way(tmp_path: Path) -> None:
    path = lines(tmp_path / "chat.jsonl", messages("a", "b"))
    with pytest.raises(TextUnreadable, match="homespun finetune MODEL FILE"):
        list(read(path).documents())


def test_a_field_that_the_user_names_is_text(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "t", **messages("a", "b")})
    assert recognise([path], field="text") is None


def test_a_code_repository_is_not_read_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr("homespun.text.corpus.Corpus.documents", lambda *_: pytest.fail("it was read"))
    assert recognise([tmp_path]) is None


def test_the_first_wrong_record_is_named_with_what_is_expected(tmp_path: Path) -> None:
    path = lines(tmp_path / "chat.jsonl", messages("a", "b"), {"prompt": 5, "reply": {"b": 1}})
    with pytest.raises(TextUnreadable) as caught:
        recognise([path])
    assert f"{path}, line 2," in caught.value.what and "'reply'" in caught.value.what
    assert "--skip-bad" in caught.value.todo


def test_a_row_that_is_not_like_the_others_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("messages\n" + '"[{""role"": ""user"", ""content"": ""a""}]"\n' + "nothing\n")
    with pytest.raises(TextUnreadable, match="row 2"):
        recognise([tmp_path / "a.csv"])


@pytest.mark.parametrize(
    "content",
    ['{"messages": ' + "[" * 100_000 + "]" * 100_000 + "}", "5", "null", '{"chosen": "a", "rejected": "b"}'],
)
def test_lines_that_are_neither_conversation_nor_text_are_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(TextUnreadable, match=r"a\.jsonl"):
        recognise([tmp_path / "a.jsonl"])


def test_empty_lines_of_a_table_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\n\nwhy,so\n\nwho\n")
    result = found_in(tmp_path / "a.csv")
    assert result.conversations == 1 and result.left_out == {"no answer": (1, f"{tmp_path / 'a.csv'}:4")}


def test_any_encoding_will_do(tmp_path: Path) -> None:
    line = json.dumps(messages("a", "caf\u00e9"), ensure_ascii=False)
    for name, codec in (("a.jsonl", "latin-1"), ("b.jsonl", "utf-16"), ("c.jsonl", "utf-8-sig")):
        (tmp_path / name).write_bytes(line.encode(codec))
    keys = found_in(tmp_path).keys
    assert len(keys) == 3 and len(set(keys)) == 1


def test_only_questions_are_not_enough(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughText, match="no answer") as caught:
        recognise([lines(tmp_path / "a.jsonl", messages("a"), messages("b"))])
    assert "What the model is to say" in caught.value.todo


def test_equal_conversations_have_equal_keys_and_order_counts(tmp_path: Path) -> None:
    one = found_in(lines(tmp_path / "a.jsonl", messages("a", "b"), messages("c", "d"), messages("a", "b")))
    assert one.keys[0] == one.keys[2] != one.keys[1]
    again = found_in(lines(tmp_path / "b.jsonl", messages("a", "b"), messages("c", "d"), messages("a", "b")))
    other = found_in(lines(tmp_path / "c.jsonl", messages("c", "d"), messages("a", "b"), messages("a", "b")))
    assert one.key == again.key != other.key


def test_small_talk_is_conversations_and_a_text() -> None:
    result = recognise(["small-talk"])
    assert result is not None and result.conversations == len(result.keys) == len(set(result.keys)) == 355
    assert not result.left_out and result.name == "small-talk"
    text = next(read("small-talk").documents()).read()
    assert text == "You: Hello.\nWick: Hello, my friend. Come in, and sit by the candle.\n"


def test_small_talk_needs_no_letter_that_tiny_shakespeare_lacks(shakespeare_text: str) -> None:
    result = recognise(["small-talk"])
    assert result is not None
    for document in result.entries():
        assert isinstance(document.record, Conversation)
        assert all(set(message["content"]) <= set(shakespeare_text) for message in document.record.messages)


EXAMPLES = [
    *(conversations, encoding, fitting, found, lists, names, packing, pairs, parts, preparing, rendering, talk),
]


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_examples_in_the_docstrings_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_how_conversations_were_read_is_noted_as_of_any_text(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    talks = [messages("où est le café où l'élève lève la tête", f"à la fenêtre {at}") for at in range(9)]
    content = "".join(json.dumps(talk, ensure_ascii=False) + "\n" for talk in talks)
    path.write_bytes(content.encode("latin-1"))
    notes = found_in(path).notes
    assert any("9 documents are " in note for note in notes) and any("9 conversations" in note for note in notes)
    path.write_bytes(content.encode() + json.dumps(messages("a", "b")).encode().replace(b"b", b"\xe9"))
    assert any("1 damaged place in its utf-8" in note for note in found_in(path).notes)
