"""Long conversations are divided into rows that fit, and templates get the turns that they insist on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.conversations.recognise import recognise
from homespun.conversations.splits import Conversations, prepare_conversations
from homespun.tokenizer.chat_marks import with_chat_template
from homespun.tokenizer.make import build
from tests.conversations.test_packing import learnt_texts

pytest.importorskip("jinja2")

LETTERS = "abcdefghijklmnopqrstuvwxyz 0123456789.,:{}\"[]_'\n"
IN_TURNS = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}"
    "{% if m.role == 'user' %}<|im_start|>{{ m.content }}{% else %}{{ m.content }}<|im_end|>{% endif %}"
    "{% endfor %}"
)


def tokenizer(kind: str = "char", template: str | None = None) -> Any:
    alphabet = dict.fromkeys(LETTERS, 1)
    found = with_chat_template(build(kind, alphabet=alphabet, documents=1, pieces=lambda: iter([LETTERS])))
    if template is not None:
        found.settings["chat_template"] = template
    return found


def prepared(path: Path, *records: Any, length: int = 96, words: Any = None) -> Conversations:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    found = recognise([path])
    assert found is not None
    return prepare_conversations(found, words or tokenizer(), length=length, seed=1)


def turns(*contents: str, first: str = "user", system: str = "") -> dict[str, Any]:
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    said = [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]
    return {"messages": [{"role": "system", "content": system}, *said] if system else said}


def answers_of(data: Conversations, words: Any) -> list[str]:
    whole = "".join(learnt_texts(data.train, words) + learnt_texts(data.val, words))
    return [one for one in whole.split("<|im_end|>") if one]


@pytest.mark.parametrize("length", [64, 96, 300])
def test_every_answer_of_a_long_conversation_is_a_target_once(length: int, tmp_path: Path) -> None:
    words = tokenizer()
    talks = [turns(*(f"{who} {n} says {at}" for at in range(60))) for n, who in enumerate(("anna", "ben", "cem"))]
    data = prepared(tmp_path / "a.jsonl", *talks, length=length, words=words)
    expected = [talk["messages"][at]["content"] for talk in talks for at in range(1, 60, 2)]
    assert sorted(answers_of(data, words)) == sorted(expected)
    assert not any("not trained on" in note for note in data.notes)


def test_the_next_part_begins_with_some_of_what_stands_before_it(tmp_path: Path) -> None:
    words = tokenizer()
    talks = [turns(*(f"{name}{at}" for at in range(60))) for name in ("a", "b")]
    data = prepared(tmp_path / "a.jsonl", *talks, length=200, words=words)
    seen: dict[str, int] = {}
    for split in (data.train, data.val):
        rows = split.rows(range(len(split)))
        for ids, documents in zip(rows.ids, rows.documents, strict=True):
            for number in documents[documents >= 0].unique().tolist():
                text = words.decode(ids[documents == number].tolist())
                for name in ("a1<", "a13<", "a25<", "a31<", "b31<"):
                    seen[name] = seen.get(name, 0) + (name in text)
    assert all(seen.values()) and any(count > 1 for count in seen.values())


def test_neighbours_of_one_role_are_joined_where_the_template_wants_turns(tmp_path: Path) -> None:
    words = tokenizer(template=IN_TURNS)
    said = [(role, part) for role in ("user", "assistant") for part in "xy"]
    doubles = [{"messages": [{"role": r, "content": f"{r} {part}{n}"} for r, part in said]} for n in range(12)]
    data = prepared(tmp_path / "a.jsonl", *doubles, words=words)
    assert "assistant x3\n\nassistant y3" in answers_of(data, words)
    assert any("12 conversations with neighbouring messages of one role joined" in note for note in data.notes)


def test_a_greeting_and_a_system_text_find_their_place(tmp_path: Path) -> None:
    words = tokenizer(template=IN_TURNS)
    greeted = [turns("hello", f"who is {n}", f"it is {n}", first="assistant") for n in range(12)]
    data = prepared(tmp_path / "a.jsonl", *greeted, words=words)
    assert answers_of(data, words).count("it is 3") == 1 and "hello" not in answers_of(data, words)
    assert any("greeting" in note for note in data.notes)
    told = [turns(f"who is {n}", f"it is {n}", system="be kind") for n in range(12)]
    data = prepared(tmp_path / "b.jsonl", *told, words=words)
    assert "it is 3" in answers_of(data, words)
    assert any("system text in the first question" in note for note in data.notes)
    rows = data.train.rows([0])
    assert "be kind\n\nwho is" in words.decode(rows.ids[0].tolist())


def test_calls_of_tools_are_written_as_json_where_the_template_has_no_place_for_them(tmp_path: Path) -> None:
    words = tokenizer()
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    talks = [
        {"messages": [{"role": "user", "content": f"add {n}"}, {"role": "assistant", "tool_calls": [call]}]}
        for n in range(12)
    ]
    data = prepared(tmp_path / "a.jsonl", *talks, words=words, length=128)
    assert '{"name": "add", "arguments": {"a": 1}}' in answers_of(data, words)
    assert any("calls of tools that are written as JSON" in note for note in data.notes)


def test_look_alikes_are_read_in_conversations_and_said(tmp_path: Path) -> None:
    words = tokenizer()
    talks = [turns(f"don\u2019t {n}", f"i don\u2019t {n}") for n in range(12)]
    data = prepared(tmp_path / "a.jsonl", *talks, words=words)
    assert "i don't 3" in answers_of(data, words)
    assert any("look-alikes" in note for note in data.notes)


def test_of_a_question_that_is_too_long_the_end_is_kept_and_that_is_said(tmp_path: Path) -> None:
    words = tokenizer()
    talks = [turns(" ".join(f"word{at}" for at in range(40)) + f" who is {n}", f"it is {n}") for n in range(12)]
    data = prepared(tmp_path / "a.jsonl", *talks, words=words)
    assert sorted(answers_of(data, words)) == sorted(f"it is {n}" for n in range(12))
    assert any("only the end of a question" in note for note in data.notes)
