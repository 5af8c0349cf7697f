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
from tests.patience import PATIENCE


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
    "merges of nothing": (with_model(merges=["x y"]), "Token `x` out of vocabulary"),
    "a merge into nothing": (
        with_model(vocab={"a": 0, "b": 1}, merges=[["a", "b"]]),
        "the tokenizers library does not accept it",
    ),
    "more tokens than any has": (
        with_model(vocab={str(id): id for id in range(300_001)}),
        "its highest id is 300,000, and at most 300,000 ids are allowed",
    ),
    "a model of a type that is null": (
        with_model(type=None, vocab={"a": 0, "b": 1}, merges=["a b"]),
        "the tokenizers library does not accept it",
    ),
    "half a character": (with_model(vocab={"\ud800": 0}, unk_token=UNKNOWN), "the tokenizers library does not"),
    "two tokens with one id": (with_model(vocab={"a": 0, "b": 0}), "two of its tokens have the id 0: 'a' and 'b'"),
    "merges that lack their prefix": (
        with_model(vocab={"a": 0, "b": 1, "ab": 2}, merges=["a b"], continuing_subword_prefix="####"),
        "the tokenizers library does not accept it",
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
REPEATED = {"type": "Replace", "pattern": {"Regex": "(a*)*[bx]"}, "content": "a"}
MARK = {"SpecialToken": {"id": "[X]", "type_id": 0}}

WRONG |= {
    "an expression that never ends": (
        with_expression("(a*)*[bx]"),
        "the tokenizers library fails when it is used (Onig: Regex search error: retry-limit-in-match over)",
    ),
    "an expression of the third power": (with_expression(r"-*-*[xy]"), "it may take for ever: "),
    "an expression deep in a sequence": (
        in_sequence("normalizer", "normalizers", {"type": "Sequence", "normalizers": [REPEATED]}),
        "the tokenizers library fails when it is used",
    ),
    "an expression that tokens are written with": (
        json.dumps({
            "model": {"type": "BPE", "vocab": {"a": 0, "ab": 1, "b": 2, "c": 3, "d": 4}, "merges": ["a b"]},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Fuse"}, {"type": "Replace", "pattern": {"Regex": "(a*)*[bc]d"}, "content": "a"},
            ]},
        }).encode(),
        "the tokenizers library fails when it is used (Onig: Regex search error: retry-limit-in-match over)",
    ),
    "a text that grows a billionfold": (
        in_sequence("normalizer", "normalizers", *[DOUBLED] * 30),
        "it takes more than 2 GB of memory",
    ),
    "a text that grows between its letters": (
        in_sequence("normalizer", "normalizers", BETWEEN, {"type": "Lowercase"}),
        "the tokenizers library fails when it is used",
    ),
    "a table that is missing": (
        with_step("normalizer", type="Precompiled"),
        "missing field `precompiled_charsmap`",
    ),
    "a megabyte before every text": (
        with_step("normalizer", type="Prepend", prepend="x" * 10**6),
        "it makes a text 6,987 times as long",
    ),
    "pieces of no length": (
        with_step("pre_tokenizer", type="FixedLength", length=0),
        "the tokenizers library fails when it is used",
    ),
    "a table that says it has gigabytes": (
        with_step("normalizer", type="Precompiled", precompiled_charsmap="/////wAAAAA="),
        "it takes more than 2 GB of memory",
    ),
    "a table with a megabyte for a letter": (
        with_step(
            "normalizer", type="Precompiled",
            precompiled_charsmap=base64.b64encode(b"\x04\0\0\0" + b"\0" * 4 + b"x" * 10**6 + b"\0").decode(),
        ),
        "the tokenizers library fails when it is used",
    ),
    "a mark that is not described": (
        with_step("post_processor", type="TemplateProcessing", single=[MARK], pair=[], special_tokens={}),
        "the tokenizers library fails when it is used",
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
        "the tokenizers library fails when it is used",
    ),
    "a mark that is written as a list": (
        with_step(
            "post_processor", type="TemplateProcessing", single=[{"SpecialToken": ["[X]", 0]}], pair=[],
            special_tokens={},
        ),
        "the tokenizers library fails when it is used",
    ),
    "a second text where there is one": (
        with_step(
            "post_processor", type="TemplateProcessing", single=[{"Sequence": {"id": "B", "type_id": 0}}],
            pair=[{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            special_tokens={},
        ),
        "the tokenizers library fails when it is used",
    ),
    "a token that is made shorter than nothing": (
        in_sequence("decoder", "decoders", {"type": "Strip", "content": "a", "start": 0, "stop": 2}),
        "the tokenizers library fails when it is used",
    ),
    "a step without its names": (
        in_sequence("decoder", "decoders", ["a", 0, 2]),
        "the tokenizers library fails when it is used",
    ),
    "a million lists": (b"[" + b"[]," * 2_000_000 + b"[]]", "it holds more values than any tokenizer has"),
}  # fmt: skip


# Odd, and of no harm: what they may do at worst, they do to one text.
HARMLESS = {
    "a million merges": with_model(vocab={"a": 0, "aa": 1}, merges=["a a"] * 750_001),
    "an expression of a hundred thousand tables": with_expression(r"\p{L}" * 20_000),
    "a text that grows out of nothing": with_step(
        "normalizer", type="Replace", pattern={"String": ""}, content="a"
    ),
    "a thousand steps": in_sequence("normalizer", "normalizers", *[{"type": "NFC"}] * 1000),
    "a table under another name": with_step("normalizer", type="NFC", precompiled_charsmap="/////wAAAAA="),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_reported_in_words_and_leaves_no_trace_on_the_terminal(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library writes a trace before it raises, where an assertion of its own fails."""
    content, reason = WRONG[case]
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError) as error:
        load(path)
    assert error.value.what.startswith(f"{path} is not a tokenizer that can be used: ")
    assert reason in error.value.what
    assert len(error.value.what) < 700 + len(str(path))
    assert error.value.todo == "Get it anew from where it came from, or let homespun make one: --tokenizer bpe"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", HARMLESS)
def test_an_odd_file_that_does_no_harm_is_used(case: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(HARMLESS[case])
    tokenizer = load(tmp_path)
    assert tokenizer.encode("a" * 2000)
    assert tokenizer.decode([0])


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
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: tokenizer.json is not a tokenizer that can be used: ")
        assert "panicked" not in done.stderr and len(done.stderr.splitlines()) <= 5
