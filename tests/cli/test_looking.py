"""The commands that only look: data, evaluate, doctor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import homespun
from homespun.api import train_setup as preparing
from homespun.evaluation.loss import Evaluation
from tests.cli.conftest import Run
from tests.generation.fakes import ByteTokenizer, Parrot

BOOK = "It was the best of times, it was the worst of times.\n" * 40


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(BOOK, encoding="utf-8")
    return path


def widest(text: str) -> int:
    return max(len(line.rstrip()) for line in text.splitlines())


def test_data_list_names_the_corpora_and_how_to_have_them(run: Run) -> None:
    outcome = run("data", "list")
    assert outcome.code == 0
    for words in ("shakespeare", "shakespeare-plays", "python", "public domain", "here:"):
        assert words in outcome.out
    names = [corpus["name"] for corpus in run("data", "list", "--json").json["corpora"]]
    assert names == ["shakespeare", "shakespeare-plays", "python", "small-talk"]


def test_data_show_tells_what_is_there_and_what_would_be_trained_on(run: Run, book: Path) -> None:
    outcome = run("data", "show", str(book))
    assert outcome.code == 0 and outcome.err == ""
    for words in (f"{len(BOOK):,} characters", "space", "newline", "char:", "the last tenth", "It was the best"):
        assert words in outcome.out


def test_data_show_json(run: Run, book: Path) -> None:
    shown = run("data", "show", str(book), "--json").json
    assert shown["characters"] == len(BOOK) and shown["alphabet_size"] == len(set(BOOK))
    assert shown["problem"] is None
    training = shown["training"]
    assert training["tokenizer"] == "char" and training["vocab_size"] == len(set(BOOK))
    assert training["tokens"] == len(BOOK) and training["exact"] is True
    assert training["train_characters"] == int(0.9 * len(BOOK))
    assert training["train_characters"] + training["val_characters"] == len(BOOK)


@pytest.mark.parametrize("spec", ["auto", "char", "byte", "bpe:300"])
def test_the_tokens_that_are_told_are_those_that_training_gets(run: Run, tmp_path: Path, spec: str) -> None:
    from functools import partial

    from homespun.dataset.preparation import prepare
    from homespun.text.sources import read
    from homespun.tokenizer.make import build

    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"{number}: naïve — {BOOK}", encoding="utf-8")
    told = run("data", "show", str(tmp_path), "--tokenizer", spec, "--json").json["training"]
    corpus = read(tmp_path)
    survey = corpus.survey()
    pieces = partial(preparing.pieces_of, corpus)
    tokenizer = build(told["tokenizer"], alphabet=survey.alphabet, documents=survey.documents, pieces=pieces)
    prepared = prepare(corpus, tokenizer)
    assert prepared.vocab_size == told["vocab_size"]
    assert prepared.train.characters == told["train_characters"]
    assert (
        prepared.tokens == told["tokens"]
        if told["exact"]
        else prepared.tokens == pytest.approx(told["tokens"], rel=0.02)
    )


@pytest.mark.parametrize(
    "content, words", [("a", "single character"), ("a" * 500, "one character"), ("ab", "too short")]
)
def test_data_show_says_why_nothing_can_be_trained_on(run: Run, tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "small.txt"
    path.write_text(content)
    outcome = run("data", "show", str(path))
    assert outcome.code == 0 and words in " ".join(outcome.out.split()) and "nothing" in outcome.out
    shown = run("data", "show", str(path), "--json").json
    assert shown["training"] is None and words in shown["problem"]["what"] and shown["problem"]["todo"]


def test_data_show_of_nothing_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    for name in ("empty.txt", "missing.txt"):
        outcome = run("data", "show", str(tmp_path / name))
        assert outcome.code == 1 and name in outcome.err and outcome.out == ""


def test_data_show_names_what_cannot_be_seen(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text(BOOK + "\u200b\x1b[31m\u0301", encoding="utf-8")
    outcome = run("data", "show", str(path))
    assert (
        "ZERO WIDTH SPACE" in outcome.out and "COMBINING ACUTE ACCENT" in outcome.out and "U+001B" in outcome.out
    )
    assert "\x1b" not in outcome.out


@pytest.mark.parametrize("columns", ["80", "40"])
def test_the_tables_keep_to_the_width_of_the_terminal(
    run: Run, book: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["data", "list"], ["data", "show", str(book)]):
        assert widest(run(*arguments).out) <= int(columns)


EVALUATION = Evaluation(
    loss=1.5,
    tokens=99,
    characters=100,
    bytes=120,
    bits_per_char=2.1,
    bits_per_byte=1.8,
    perplexity=math.inf,
    seconds=0.5,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Evaluation without a model; what was to be measured is kept here."""
    asked: list[Any] = []
    opened = homespun.LanguageModel(Parrot([1]), ByteTokenizer(), Path("m"))  # type: ignore[arg-type]

    def split_of(self: object, *text: str, field: str | None = None, encoding: str | None = None) -> None:
        asked.append((text, field))

    def evaluate_split(
        self: object, split: None, *, stride: int | None = None, weights: str | None = None
    ) -> Evaluation:
        return EVALUATION

    monkeypatch.setattr(homespun, "load", lambda folder: opened)
    monkeypatch.setattr(homespun.LanguageModel, "split_of", split_of)
    monkeypatch.setattr(homespun.LanguageModel, "evaluate_split", evaluate_split)
    return asked


def test_evaluate_measures_the_text_that_is_named(run: Run, asked: list[Any]) -> None:
    outcome = run("evaluate", "m", "a.jsonl", "b.txt", "--field", "body")
    assert outcome.code == 0 and asked == [(("a.jsonl", "b.txt"), "body")]
    for words in ("a.jsonl, b.txt", "1.5000", "2.1000", "1.8000", "99", "5.5491"):  # ln 257 is the guess
        assert words in outcome.out


def test_evaluate_without_a_text_measures_what_was_kept_back(run: Run, asked: list[Any]) -> None:
    assert "kept back" in run("evaluate", "m").out and asked == [((), None)]


def test_evaluate_json_has_no_infinity(run: Run, asked: list[Any]) -> None:
    result = run("evaluate", "m", "a.txt", "--json").json
    assert result["model"] == "m" and result["text"] == ["a.txt"]
    assert result["loss"] == 1.5 and result["perplexity"] is None and result["bits_per_char"] == 2.1


@pytest.fixture
def quick_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor that multiplies in bfloat16."""
    from homespun.kernels import selfcheck as selftest
    from homespun.machine import device

    monkeypatch.setattr(device, "matrix_units", lambda: ("avx512_bf16",))

    monkeypatch.setattr(selftest, "matmul_rate", lambda device, dtype: 2e11 if "float32" in str(dtype) else 8e11)
    monkeypatch.setattr(selftest, "check_compiled", lambda device, dtype: selftest.CompileCheck(True, "in 7 s"))


def test_doctor_tests_this_computer_and_says_what_it_means(run: Run, quick_doctor: None) -> None:
    outcome = run("doctor", "--device", "cpu")
    assert outcome.code == 0
    for words in ("processor", "memory", "self-test", "a small model learns", "200 GFLOP/s", "homespun train"):
        assert words.lower() in outcome.out.lower()


def test_doctor_json(run: Run, quick_doctor: None) -> None:
    found = run("doctor", "--device", "cpu", "--json").json
    assert found["machine"]["device"] == "cpu" and found["machine"]["cores"] >= 1 and found["disk_free"] > 0
    assert found["self_test"]["passed"] is True and found["self_test"]["agreement"] > 0.98
    assert found["flops_per_second"] == {"float32": 2e11, "bfloat16": 8e11}
    assert found["verdict"] and all(isinstance(sentence, str) for sentence in found["verdict"])


def test_doctor_fails_when_the_arithmetic_is_wrong(
    run: Run, quick_doctor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.kernels import selfcheck as selftest

    broken = selftest.ModelCheck("bfloat16", math.nan, 0.2, False)
    monkeypatch.setattr(selftest, "check_model", lambda device, dtype: broken)
    outcome = run("doctor", "--device", "cpu")
    assert outcome.code == 1 and "self-test failed" in outcome.out and "Ready" not in outcome.out
    assert run("doctor", "--json").json["self_test"]["loss_error"] is None


def test_doctor_says_what_it_will_use_without_compiling_anything(
    run: Run, quick_doctor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.kernels import selfcheck as selftest

    monkeypatch.setattr(selftest, "check_compiled", lambda device, dtype: pytest.fail("compiled"))
    monkeypatch.setattr("homespun.machine.device.compiler", lambda: "/usr/bin/g++")
    out = " ".join(run("doctor", "--device", "cpu").out.split())
    assert "in bfloat16: it multiplies in bfloat16 (avx512_bf16)" in out and "doctor --thorough" in out
    assert run("doctor", "--device", "cpu", "--json").json["compiling"] is None


def test_thorough_compiles_and_times_every_dtype(
    run: Run, quick_doctor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.machine.device.matrix_units", lambda: ())
    found = run("doctor", "--device", "cpu", "--thorough", "--json").json
    assert found["compiling"] == {"works": True, "detail": "in 7 s"}
    assert found["flops_per_second"] == {"float32": 2e11, "bfloat16": 8e11}
    assert "compiled in 7 s" in run("doctor", "--device", "cpu", "--thorough").out


def test_a_processor_without_bfloat16_is_not_compared_with_itself(
    run: Run, quick_doctor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.kernels import selfcheck as selftest

    monkeypatch.setattr("homespun.machine.device.matrix_units", lambda: ())
    monkeypatch.setattr(selftest, "check_model", lambda device, dtype: pytest.fail("float32 against float32"))
    outcome = run("doctor", "--device", "cpu")
    out = " ".join(outcome.out.split())
    assert outcome.code == 0 and "in float32: it has no instructions that multiply in bfloat16" in out
    assert "as in float32" not in out and "Ready" in out
    found = run("doctor", "--device", "cpu", "--json").json
    assert found["self_test"] is None and found["flops_per_second"] == {"float32": 2e11}


def test_the_self_test_notices_wrong_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from homespun.kernels import selfcheck as selftest

    right = selftest.loss_and_gradient(torch.device("cpu"), torch.float32)
    wrong = iter([right, (right[0], torch.roll(right[1], 1)), right, (right[0] * 1.1, right[1])])
    monkeypatch.setattr(selftest, "loss_and_gradient", lambda device, dtype: next(wrong))
    for _ in range(2):
        assert not selftest.check_model(torch.device("cpu"), torch.bfloat16).passed


def test_the_self_test_notices_a_compiler_that_is_not_there_and_one_that_computes_wrongly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    from homespun.kernels import selfcheck as selftest

    cpu = torch.device("cpu")
    monkeypatch.setattr(torch, "compile", lambda model: model)
    assert selftest.check_compiled(cpu, torch.float32).works
    monkeypatch.setattr(torch, "compile", lambda model: lambda ids, targets: model(ids, targets.roll(1, dims=1)))
    assert selftest.check_compiled(cpu, torch.float32).detail == "it computes something else than the model"
    monkeypatch.setattr(selftest, "compiler", lambda: None)
    assert selftest.check_compiled(cpu, torch.float32) == selftest.CompileCheck(False, "there is no C++ compiler")


def test_matmul_rate_is_measured() -> None:
    import torch

    from homespun.kernels import selfcheck as selftest

    assert selftest.matmul_rate(torch.device("cpu"), torch.float32, seconds=0.01) > 0


def test_doctor_of_a_device_that_is_not_there(run: Run) -> None:
    outcome = run("doctor", "--device", "abacus")
    assert outcome.code == 1 and "abacus" in outcome.err


def test_extras_are_those_of_the_package(run: Run) -> None:
    from homespun.cli.doctor import extras

    assert {"formats", "sentencepiece", "tensorboard"} <= set(extras())
    assert not {"all", "dev"} & set(extras())
