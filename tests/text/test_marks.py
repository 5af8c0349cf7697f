"""Marks that are written out in a text: of documents, and of conversations."""

# ruff: noqa: E501 (exports and texts stand as they are)
from __future__ import annotations

import json
from pathlib import Path

import pytest

from homespun.text.marks import messages_in, separators_in
from homespun.text.sources import read
from tests.text.conftest import notes_of, only_text, texts

TALES = ["A hen sat down.\nIt rained.", "A dog ran.", "The end."]


@pytest.mark.parametrize(
    "form",
    [
        "{0}\n<|endoftext|>\n{1}\n<|endoftext|>\n{2}\n<|endoftext|>\n",
        "<|startoftext|>{0}<|endoftext|>\n<|startoftext|>{1}<|endoftext|>\n<|startoftext|>{2}<|endoftext|>\n",
        "{0}<|endoftext|>{1}<|endoftext|>{2}",
        "<s>{0}</s>\n<s>{1}</s>\n<s>{2}</s>\n",
        "<|begin_of_text|>{0}<|end_of_text|><|begin_of_text|>{1}<|end_of_text|><|begin_of_text|>{2}<|end_of_text|>",
        "{0}\n<EOS>\n{1}\n<EOS>\n{2}\n<EOS>",
    ],
)
@pytest.mark.parametrize("times", [1, 80_000])
def test_marks_between_texts_divide_them(tmp_path: Path, form: str, times: int) -> None:
    whole = form.format(*TALES)
    (tmp_path / "a.txt").write_text(whole if times == 1 else (whole + "<|endoftext|>\n") * times)
    if times == 1:
        assert list(texts(read(tmp_path / "a.txt")).values()) == TALES
        assert "is divided at its marks" in notes_of(tmp_path / "a.txt")
    elif "endoftext" in form:  # larger than what is read in one go
        assert sum(1 for _ in read(tmp_path / "a.txt").documents()) == 3 * times


@pytest.mark.parametrize(
    "text",
    [
        "GPT-2 ends a text with `<|endoftext|>`, and `<|endoftext|>` is a token.\n",
        "The tokens <|endoftext|> and <|endoftext|> are special.\n",
        "This is <s>wrong</s> right, and <s>old</s> new.\n",
        "A title\n=====\n\nA text.\n",
        "| ### Input: | a heading |\n",
    ],
)
def test_a_text_about_marks_stays_whole(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.md").write_text(text)
    assert only_text(tmp_path / "a.md") == text


def test_marks_in_a_field_are_no_text_either(tmp_path: Path) -> None:
    lines = [{"text": "One.<|endoftext|>"}, {"text": "Two.<|endoftext|>Three.<|endoftext|>"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert list(texts(read(tmp_path / "a.jsonl")).values()) == ["One.", "Two.", "Three."]


TALK = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "The hen."}]
WRITTEN = {
    "ChatML": "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nThe hen.<|im_end|>\n",
    "Llama 2": "<s>[INST] Who? [/INST] The hen. </s>",
    "Llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nThe hen.<|eot_id|>",
    "Guanaco": "### Human: Who?### Assistant: The hen.",
    "Alpaca": "Below is an instruction that describes a task. Write a response.\n\n### Instruction:\nWho?\n\n### Response:\nThe hen.",
    "Zephyr": "<|user|>\nWho?</s>\n<|assistant|>\nThe hen.</s>\n",
    "OpenAssistant": "<|prompter|>Who?<|endoftext|><|assistant|>The hen.<|endoftext|>",
    "Gemma": "<start_of_turn>user\nWho?<end_of_turn>\n<start_of_turn>model\nThe hen.<end_of_turn>\n",
    "hh-rlhf": "\n\nHuman: Who?\n\nAssistant: The hen.",
    "Vicuna": "USER: Who? ASSISTANT: The hen.</s>",
}  # fmt: skip


@pytest.mark.parametrize("form", WRITTEN)
def test_conversations_written_out_are_read_as_what_was_said(tmp_path: Path, form: str) -> None:
    assert messages_in(WRITTEN[form]) == TALK
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": WRITTEN[form]}) + "\n" + json.dumps({"text": WRITTEN[form]})
    )
    assert list(texts(read(tmp_path / "a.jsonl")).values()) == ["User: Who?\nAssistant: The hen.\n"] * 2
    assert "2 conversations written out with marks" in notes_of(tmp_path / "a.jsonl")


def test_system_texts_inputs_and_several_turns_are_kept() -> None:
    system = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWho? [/INST] The hen. </s><s>[INST] Why? [/INST] So. </s>"
    assert messages_in(system) == [
        {"role": "system", "content": "Be brief."},
        *TALK,
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So."},
    ]
    alpaca = "### Instruction:\nSay it.\n\n### Input:\nA hen.\n\n### Response:\nHen."
    assert (messages_in(alpaca) or [])[0] == {"role": "user", "content": "Say it.\n\nA hen."}


@pytest.mark.parametrize(
    "text", ["### Input:\nA heading\n\n### Output:\nAnother", "Human: a word.", "<|im_start|>", "[INST]"]
)
def test_what_is_no_conversation_is_none(text: str) -> None:
    assert messages_in(text) is None or {message["role"] for message in messages_in(text) or []} == {
        "user",
        "assistant",
    }
    assert separators_in(text) is None


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_marks_in_columns_are_read_as_in_fields(tmp_path: Path, name: str) -> None:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.table({"id": [1, 2], "text": [WRITTEN["ChatML"], WRITTEN["Llama 2"]]})
    (pyarrow.csv.write_csv if name == "a.csv" else pyarrow.parquet.write_table)(table, tmp_path / name)
    assert list(texts(read(tmp_path / name)).values()) == ["User: Who?\nAssistant: The hen.\n"] * 2


def test_rows_of_equals_signs_divide_texts_and_do_not_where_they_underline(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A hen sat.\n=====\nA dog.\n=====\nIt rained all day.\n=====\n")
    assert list(texts(read(tmp_path / "a.txt")).values()) == ["A hen sat.", "A dog.", "It rained all day."]
    for name, text in (
        ("b.md", "A\n=====\nB\n=====\nC\n=====\n"),
        ("b.txt", "Title\n=====\n\nText.\n\nOther\n=====\n\nMore.\n"),
    ):
        (tmp_path / name).write_text(text)
        assert only_text(tmp_path / name) == text


@pytest.mark.parametrize("form", ["ChatML", "Guanaco", "Llama 2", "Alpaca", "Gemma"])
def test_conversations_in_a_text_file_are_told_apart(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.txt").write_text("\n\n".join([WRITTEN[form]] * 3))
    assert list(texts(read(tmp_path / "a.txt")).values()) == ["User: Who?\nAssistant: The hen.\n"] * 3
