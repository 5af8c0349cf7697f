"""Tokenizer files that cannot be used: each told in words, and nothing of the library's own reaches the screen."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from homespun.errors import TokenizerError
from homespun.tokenizer.open import load
from homespun.tokenizer.unknown import UNKNOWN


def with_model(**model: Any) -> bytes:
    return json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], **model}}).encode()


WRONG = {
    "empty": (b"", "it is not JSON"),
    "cut off": (with_model()[:-5], "it is not JSON"),
    "not text": (b"\xff\xfe\x00", "it is not JSON"),
    "deep": (b"[" * 200_000, "it is not JSON"),
    "a long number": (b"1" * 10_000, "it is not JSON"),
    "a list": (b"[1]", "it is a JSON list, not an object"),
    "no model": (b"{}", 'it has no "model" with a "vocab"'),
    "a model that is a list": (b'{"model": []}', 'it has no "model" with a "vocab"'),
    "no vocabulary": (with_model(vocab={}), "its vocabulary is empty"),
    "a vocabulary of another kind": (with_model(vocab=7), 'its "vocab" is neither an object nor a list'),
    "a list for a bpe": (with_model(vocab=[["a", 0.0]]), 'its "vocab" is not what a model of type BPE has'),
    "a score that is none": (with_model(type="Unigram", vocab=[["a"]]), "entry 0 of its vocabulary"),
    "a negative id": (with_model(vocab={"a": -1}), "one of its ids is -1"),
    "a broken id": (with_model(vocab={"a": 0.5}), "one of its ids is 0.5"),
    "an id that is true": (with_model(vocab={"a": True}), "one of its ids is True"),
    "an id that is text": (with_model(vocab={"a": "0"}), "one of its ids is '0'"),
    "ids with holes": (
        with_model(vocab={"a": 0, "b": 900}),
        "it has 2 ids, but the highest is 900: most are missing",
    ),
    "a huge id": (with_model(vocab={"a": 4_000_000_000}), "its highest id is 4,000,000,000"),
    "merges of nothing": (with_model(merges=["x y"]), "it merges 'x' with 'y', and has no token 'x'"),
    "a merge into nothing": (
        with_model(vocab={"a": 0, "b": 1}, merges=[["a", "b"]]),
        "it merges 'a' with 'b', and has no token 'ab'",
    ),
    "more merges than any has": (
        with_model(vocab={"a": 0, "aa": 1}, merges=["a a"] * 750_001),
        "it has 750,001 merges, and at most 750,000 are read",
    ),
    "more tokens than any has": (
        with_model(vocab={str(id): id for id in range(300_001)}),
        "its highest id is 300,000, and at most 300,000 ids are allowed",
    ),
    "a model of a type that is null": (
        with_model(type=None, vocab={"a": 0, "b": 1}, merges=["a b"]),
        "it merges 'a' with 'b', and has no token 'ab'",
    ),
    "half a character": (with_model(vocab={"\ud800": 0}, unk_token=UNKNOWN), "the tokenizers library does not"),
    "two tokens with one id": (with_model(vocab={"a": 0, "b": 0}), "two of its tokens have the id 0: 'a' and 'b'"),
    "merges that lack their prefix": (
        with_model(vocab={"a": 0, "b": 1, "ab": 2}, merges=["a b"], continuing_subword_prefix="####"),
        "it merges 'a' with 'b', which does not begin with '####'",
    ),
    "words of any length": (
        with_model(type="WordPiece", unk_token="a", continuing_subword_prefix="#", max_input_chars_per_word=10**9),
        "its max_input_chars_per_word is 1,000,000,000, and at most 500 are allowed",
    ),
    "a piece of ten thousand letters": (
        with_model(type="Unigram", unk_id=0, vocab=[["a" * 10_000, 0.0]]),
        "one of its pieces has 10,000 characters, and at most 1,024 are allowed",
    ),
    "an unknown kind of model": (with_model(type="Magic"), "the tokenizers library does not accept it"),
    "added tokens that are none": (
        b'{"model": {"vocab": {"a": 0}}, "added_tokens": [1]}',
        '"added_tokens" are not',
    ),
    "a step that is none": (b'{"model": {"vocab": {"a": 0}}, "decoder": 1}', 'its "decoder" is not an object'),
}


def with_step(part: str, **step: Any) -> bytes:
    return json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, part: step}).encode()


def with_expression(expression: str) -> bytes:
    return with_step(
        "pre_tokenizer", type="Split", pattern={"Regex": expression}, behavior="Isolated", invert=False
    )


def in_sequence(part: str, name: str, *steps: dict[str, Any]) -> bytes:
    return with_step(part, type="Sequence", **{name: list(steps)})


DOUBLED = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
BETWEEN = {"type": "Replace", "pattern": {"Regex": "(?=.)"}, "content": "b"}
REPEATED = {"type": "Replace", "pattern": {"Regex": "a**"}, "content": "a"}
MARK = {"SpecialToken": {"id": "[X]", "type_id": 0}}

WRONG |= {
    "an expression that never ends": (
        with_expression("(a*)*[bx]"),
        'in its "pre_tokenizer", Split has a regular expression that may take for ever: a repeat within a repeat',
    ),
    "an expression of the third power": (with_expression(r"-*-*[xy]"), "characters it takes 0."),
    "an expression of a hundred thousand tables": (
        with_expression(r"\p{L}" * 20_000),
        "it has 20,000 classes of characters",
    ),
    "an expression deep in a sequence": (
        in_sequence("normalizer", "normalizers", {"type": "Sequence", "normalizers": [REPEATED]}),
        'in its "normalizer", Replace has a regular expression that may take for ever: a repeat of a repeat',
    ),
    "a text that grows a billionfold": (
        in_sequence("normalizer", "normalizers", *[DOUBLED] * 30),
        'its "normalizer" makes a text 1,073,741,824 times as long',
    ),
    "a text that grows between its letters": (
        in_sequence("normalizer", "normalizers", BETWEEN, {"type": "Lowercase"}),
        'in its "normalizer", Replace replaces nothing by something, and at that the library loses count',
    ),
    "a text that grows out of nothing": (
        with_step("normalizer", type="Replace", pattern={"String": ""}, content="a"),
        'in its "normalizer", Replace replaces nothing by something',
    ),
    "a table that is missing": (
        with_step("normalizer", type="Precompiled"),
        "Precompiled says that its table has 0 bytes, and 0 are there",
    ),
    "a megabyte before every text": (
        with_step("normalizer", type="Prepend", prepend="x" * 10**6),
        'in its "normalizer", Prepend puts 1,000,000 characters into the text',
    ),
    "a thousand steps": (
        in_sequence("normalizer", "normalizers", *[{"type": "NFC"}] * 1000),
        'its "normalizer" has 1001 steps',
    ),
    "pieces of no length": (
        with_step("pre_tokenizer", type="FixedLength", length=0),
        'in its "pre_tokenizer", FixedLength has length = 0',
    ),
    "a table that says it has gigabytes": (
        with_step("normalizer", type="Precompiled", precompiled_charsmap="/////wAAAAA="),
        "Precompiled says that its table has 4,294,967,295 bytes, and 8 are there",
    ),
    "a table with a megabyte for a letter": (
        with_step(
            "normalizer", type="Precompiled",
            precompiled_charsmap=base64.b64encode(b"\x04\0\0\0" + b"\0" * 4 + b"x" * 10**6 + b"\0").decode(),
        ),
        'in its "normalizer", Precompiled puts 1,000,000 bytes into the text',
    ),
    "a mark that is not described": (
        with_step("post_processor", type="TemplateProcessing", single=[MARK], pair=[], special_tokens={}),
        "TemplateProcessing speaks of a mark '[X]' that it does not describe",
    ),
    "a mark with an id that there is not": (
        with_step(
            "post_processor", type="TemplateProcessing", single=[MARK], pair=[MARK],
            special_tokens={"[X]": {"id": "[X]", "ids": [7], "tokens": ["[X]"]}},
        ),
        "There is no token 7: this tokenizer's ids are 0 to 0",
    ),
    "a mark in a template that goes by another name": (
        with_step("post_processor", type="Roberta", single=[MARK], pair=[], special_tokens={}),
        "Roberta speaks of a mark '[X]' that it does not describe",
    ),
    "a mark that is written as a list": (
        with_step(
            "post_processor", type="TemplateProcessing", single=[{"SpecialToken": ["[X]", 0]}], pair=[],
            special_tokens={},
        ),
        "TemplateProcessing has a template with a part that is neither a mark nor a text",
    ),
    "a second text where there is one": (
        with_step(
            "post_processor", type="TemplateProcessing", single=[{"Sequence": {"id": "B", "type_id": 0}}],
            pair=[{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            special_tokens={},
        ),
        "TemplateProcessing speaks of a text 'B' where there is only A",
    ),
    "a token that is made shorter than nothing": (
        in_sequence("decoder", "decoders", {"type": "Strip", "content": "a", "start": 0, "stop": 2}),
        'in its "decoder", Strip has stop = 2',
    ),
    "a step without its names": (
        in_sequence("decoder", "decoders", ["a", 0, 2]),
        'in its "decoder", a step is not an object',
    ),
    "a table under another name": (
        with_step("normalizer", type="NFC", precompiled_charsmap="/////wAAAAA="),
        "NFC says that its table has 4,294,967,295 bytes, and 8 are there",
    ),
    "a million lists": (b"[" + b"[]," * 2_000_000 + b"[]]", "it holds more values than any tokenizer has"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_told_in_words(case: str, tmp_path: Path) -> None:
    content, reason = WRONG[case]
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError) as error:
        load(path)
    assert error.value.what.startswith(f"{path} is not a tokenizer that can be used: ")
    assert reason in error.value.what
    assert len(error.value.what) < 700 + len(str(path))
    assert error.value.todo == "Get it anew from where it came from, or let homespun make one: --tokenizer bpe"


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_leaves_no_trace_on_the_terminal(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library writes one before it raises, where an assertion of its own fails: that is to be foreseen."""
    (tmp_path / "tokenizer.json").write_bytes(WRONG[case][0])
    with pytest.raises(TokenizerError):
        load(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(2**30)  # takes no space on the disk
    with pytest.raises(TokenizerError, match="it has 1,074 MB, and at most 42 MB are read"):
        load(path)


def test_a_command_says_it_once_and_leaves_out_what_the_library_says(tmp_path: Path) -> None:
    """In a process of its own, where nothing but the terminal takes what is written to file 2."""
    for case in (
        "a merge into nothing",
        "a second text where there is one",
        "a token that is made shorter than nothing",
    ):
        (tmp_path / "tokenizer.json").write_bytes(WRONG[case][0])
        (tmp_path / "book.txt").write_text("To be, or not to be.\n" * 20)
        done = subprocess.run(
            [sys.executable, "-m", "homespun", "data", "show", "book.txt", "--tokenizer", "tokenizer.json"],
            cwd=tmp_path,
            env={**os.environ, "RUST_BACKTRACE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: tokenizer.json is not a tokenizer that can be used: ")
        assert "panicked" not in done.stderr and len(done.stderr.splitlines()) <= 5
