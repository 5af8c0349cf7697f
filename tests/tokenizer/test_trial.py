"""A tokenizer from elsewhere is tried in a process of its own: real ones pass, on a slow computer too; one that
never ends, takes all memory or crashes the library does so there."""

from __future__ import annotations

import doctest
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from homespun.errors import TokenizerError, WriteFailed
from homespun.tokenizer import trial
from homespun.tokenizer.open import load

# What tokenizers in use cut words with. The shapes matter here, not every letter.
IN_USE = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k, llama 3, qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k, possessive": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "classes in classes": r"[\p{Han}]+|[\p{Lu}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{M}&&[^\p{Han}]]+",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "deepseek": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    "digits from the right": r"\d{1,3}(?=(?:\d{3})*\b)",
    "spaces": r"\A +|[ ▁]+\z",
    "ours, for sentencepiece": r"\x{3c}\x{73}|(?:(?!\x{61}|\x{62})[^\x{63}\x{64}])+",
    "marks": r"<\|[^|]+\|>",
    "white space": r"\s{2,}|[\n\r\t]",
    "any character": r"[\s\S]",
    "pieces": "▁*[^▁]+|▁+",
    "nothing": "",
}

# On some text they would take for ever. Oniguruma gives up after ten million attempts at one place of a text.
DANGEROUS = {
    "(a*)*[bx]": "retry-limit-in-match over",
    "(a|a)*[bx]": "retry-limit-in-match over",
    "a?" * 30 + "a" * 30: "retry-limit-in-match over",
    "(a|a)" * 30 + "b": "retry-limit-in-match over",
    "a*a*a*[bx]": "it may take for ever",
    r"[^☃]*\p{So}\p{So}": "characters are far more than twice the work of half as many",
    r"(?:xyzzy)*(?:xyzzy)*(?:xyzzy)*(?:xyzzy)*[!?]": "it may take for ever",
    "(é+é+)+[à☃]": "retry-limit-in-match over",
    "a{" + "9" * 5000 + "}": "too big number for repeat range",
    "(" * 100_000: "parse depth limit over",
    ")(a*)*": "unmatched close parenthesis",
    "a" * 10**6: "it takes more than 2 GB of memory",
}

# These look as if, and Oniguruma knows how to do them in little time, or gives up and says so.
HARMLESS = (
    "((a+)b)+",
    "(a{1,3})+",
    "(?:(?=a*)a)+",
    "(?:a?){30}a{30}",
    "a**",
    "a{1,3}+",
    "[^☃]*☃",
    r"(?:[\s\S]{0,500}|a)☃",
    r"\b[^☃]*☃",
    "(?=e)[^☃]*☃",
    "e[^☃]*☃",
    "a(?=.*)",
    r"(a+)\1",
    r"(?<x>a|b\g<x>c)",
    "(?~a)",
    "(?x)a* *",
    "(*FAIL)",
    "a{100000}",
    r"\w" * 5000,
)


def with_expression(expression: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    return {"model": model, "pre_tokenizer": split}


def tried(content: dict[str, Any]) -> str:
    return trial.trial(content, json.dumps(content), "tokenizer.json")


def save(content: dict[str, Any], folder: Path) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def test_the_worked_examples_are_right() -> None:
    outcome = doctest.testmod(trial)
    assert outcome.attempted and not outcome.failed


@pytest.mark.parametrize("name", IN_USE)
def test_expressions_in_use_pass(name: str) -> None:
    assert tried(with_expression(IN_USE[name])) == ""
    pre_tokenizers.Split(Regex(IN_USE[name]), "isolated").pre_tokenize_str("to be or not")


@pytest.mark.parametrize("pattern", DANGEROUS, ids=lambda pattern: pattern[:20])
def test_expressions_that_may_take_for_ever_do_not_pass(pattern: str) -> None:
    assert DANGEROUS[pattern] in tried(with_expression(pattern))


@pytest.mark.parametrize("pattern", HARMLESS, ids=lambda pattern: pattern[:20])
def test_expressions_that_look_dangerous_and_are_not_are_used(pattern: str, tmp_path: Path) -> None:
    tokenizer = load(save(with_expression(pattern), tmp_path))
    for text in ("to be or not to be, 1601\n" * 1000, "a" * 3000, "漢" * 1000, "e" * 5000 + "☃"):
        assert tokenizer.encode(text)


PARTS = st.sampled_from(
    [*"ab()[]|*+?{}^\\,13-&=!<>:", "(?:", "(?=", "(?<!", "(a", "[^a", r"\p{L}", "{1,3}", "{2}"]
)


@settings(max_examples=40)  # each starts a process
@given(st.lists(PARTS, max_size=25).map("".join))
def test_what_passes_comes_to_an_end(pattern: str) -> None:
    """Whatever the pattern: it is refused here, or by the library, or it ends before ten million attempts."""
    with mock.patch.object(trial, "MOST_WORK", 10):
        if tried(with_expression(pattern)):
            return
    pieces = pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str("a" * 40 + "-b")
    assert "".join(piece for piece, _ in pieces) == "a" * 40 + "-b"


def test_work_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty thousand alternatives: no more than twice the work for twice the text, and minutes for a book."""
    monkeypatch.setattr(trial, "MOST_WORK", 1)
    assert "not come to an end after 1 seconds of work" in tried(with_expression("a|" * 30_000))


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (SimpleNamespace(returncode=-signal.SIGKILL, stdout=b"", stderr=b""), "the process for it ended with -9"),
        (SimpleNamespace(returncode=1, stdout=b"", stderr=b"...\nImportError: No tokenizers"), "No tokenizers"),
        (OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
        (subprocess.TimeoutExpired("python", 900), "timed out after 900 seconds"),
    ],
)
def test_a_trial_that_the_computer_did_not_let_end_says_nothing_of_the_tokenizer(
    done: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", mock.Mock(side_effect=[done]))
    with pytest.raises(TokenizerError, match="could not be tried in a process of its own") as error:
        tried(with_expression("a+"))
    assert said in error.value.what and "Try again" in error.value.todo


def test_a_crash_of_the_library_is_no_crash_of_ours() -> None:
    assert "crashes with it (SIGSEGV)" in trial.outcome(-signal.SIGSEGV, b"", "", "tokenizer.json")


def test_what_has_passed_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(save(with_expression("a+"), tmp_path))
    monkeypatch.setattr(subprocess, "run", mock.Mock(side_effect=AssertionError))
    load(tmp_path)
    with pytest.raises(AssertionError):
        load(save(with_expression("a+b"), tmp_path))


def test_what_was_refused_is_tried_again(tmp_path: Path) -> None:
    save(with_expression(")"), tmp_path)
    for _ in range(2):
        with pytest.raises(TokenizerError, match="unmatched close parenthesis"):
            load(tmp_path)


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "cache_folder", mock.Mock(side_effect=WriteFailed("no room", "make some")))
    assert load(save(with_expression("a+"), tmp_path)).encode("a")


def test_its_process_imports_nothing_that_takes_long_to_start() -> None:
    code = "import sys, homespun.tokenizer.trial; print({'torch', 'numpy', 'httpx'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.fixture(params=["tenfold", "every seventh reading is ten seconds late"])
def lying_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, readings = time.process_time, count()
    late: Iterator[int] = count(step=10)

    def process_time() -> float:
        if request.param == "tenfold":
            return 10 * clock()
        process_time.late = next(late) if next(readings) % 7 == 0 else process_time.late  # type: ignore[attr-defined]
        return clock() + process_time.late  # type: ignore[attr-defined]

    process_time.late = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(time, "process_time", process_time)


@pytest.mark.usefixtures("lying_clock")
@pytest.mark.parametrize("name", IN_USE)
def test_a_sound_tokenizer_passes_on_a_slow_and_unlucky_computer(name: str) -> None:
    """What the other process does, done in this one, where its clock can be made to lie."""
    assert trial.judged(json.dumps(with_expression(IN_USE[name])), [IN_USE[name]]) == ""
