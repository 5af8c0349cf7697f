"""homespun evaluate with two small models of one text."""

from __future__ import annotations

import doctest
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import homespun
from homespun.cli.screens import evaluation as evaluate_screen
from homespun.dataset.preparation import Dataset
from homespun.dataset.shards import Split
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

from .conftest import Run

TEXT = "The cat sat on the mat, and the dog sat by the door until it rained again.\n" * 30


class Known(homespun.LanguageModel):
    """A model whose run had TEXT."""

    def dataset(self) -> Dataset:
        halves = TEXT[:-300], TEXT[-300:]
        train, val = (Split("a", self.tokenizer.encode_array(t), len(t), len(t), 1) for t in halves)
        size = self.tokenizer.vocab_size
        return Dataset(train, val, Path("nowhere"), "key", size, "the end", already_there=True)


def known(kind: str, context_length: int) -> Known:
    tokenizer: Tokenizer = build(kind, alphabet=Counter(TEXT), documents=1, pieces=lambda: iter([TEXT]))
    torch.manual_seed(0)
    config = GPTConfig.of(
        "modern", vocab_size=tokenizer.vocab_size, context_length=context_length, n_layer=1, n_head=2, n_embd=16
    )
    return Known(GPT(config), tokenizer, Path(kind))


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {"chars": known("char", 32), "pairs": known("bpe:300", 16)}
    monkeypatch.setattr(homespun, "load", lambda folder: opened[folder])


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(evaluate_screen).failed == 0


def test_the_windows_are_named_in_both_ways(run: Run) -> None:
    apart, sliding = run("evaluate", "chars"), run("evaluate", "chars", "--stride", "8")
    assert "apart" in apart.out and "of 32 tokens, none overlaps another" in " ".join(apart.out.split())
    assert "by 8 tokens: each token has 24 before it" in " ".join(sliding.out.split())
    as_json = [run("evaluate", "chars", *more, "--json").json for more in ((), ("--stride", "8"))]
    assert [one["windows"] for one in as_json] == ["non-overlapping", "sliding"]
    assert [one["stride"] for one in as_json] == [32, 8]
    assert as_json[0]["loss"] != as_json[1]["loss"]


def test_an_impossible_stride_is_refused_with_what_is_possible(run: Run) -> None:
    outcome = run("evaluate", "chars", "--stride", "33")
    assert outcome.code != 0 and "between 1 and 32" in outcome.err


def test_two_models_are_compared_by_bits_per_byte(run: Run) -> None:
    outcome = run("evaluate", "chars", "--against", "pairs")
    said = " ".join(outcome.out.split())
    assert outcome.code == 0 and "losses and perplexities do not compare" in said
    found = run("evaluate", "chars", "--against", "pairs", "--json").json
    assert found["against"]["same_tokenizer"] is False
    assert found["bytes"] == found["against"]["bytes"] == 300
    better = "first" if found["bits_per_byte"] < found["against"]["bits_per_byte"] else "second"
    assert f"The {better} predicts it better" in said


def test_a_model_is_as_good_as_itself(run: Run) -> None:
    outcome = run("evaluate", "chars", "--against", "chars")
    assert "equally well" in outcome.out and "do not compare" not in outcome.out


def test_calibration_is_told_for_every_token(run: Run) -> None:
    found = run("evaluate", "chars", "--calibration", "--json").json
    assert sum(one["tokens"] for one in found["calibration"]["bins"]) == found["tokens"] == 299
    out = run("evaluate", "chars", "--calibration").out
    assert "expected calibration error" in " ".join(out.split())


def test_memorisation_finds_what_repeats_and_what_does_not(run: Run) -> None:
    found = run("evaluate", "chars", "--memorisation", "--json").json["memorisation"]
    assert found["texts"]["held out"]["share"] == 1.0  # this text says the same again and again
    assert found["texts"]["model"]["share"] == 0.0  # the model has learnt nothing
    assert found["texts"]["model"]["tokens"] == 16 * 256
    out = run("evaluate", "chars", "--memorisation").out
    assert "what the model writes" in out and "no more of the training text than" in " ".join(out.split())


def test_a_model_that_recites_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from homespun.api import report

    (tmp_path / "other.txt").write_text(
        "Something else entirely was written here by somebody who is unknown.\n" * 3
    )
    reciting = lambda opened, ids: [opened.dataset().train.ids[:200].astype(np.int64)]  # noqa: E731
    monkeypatch.setattr(report, "written", reciting)
    out = run("evaluate", "pairs", str(tmp_path / "other.txt"), "--memorisation").out
    assert "The model writes passages of the training text: 100%" in " ".join(out.split())
    assert "The cat sat on the mat" in out


@pytest.mark.parametrize("columns", ["80", "50"])
def test_the_tables_keep_to_the_width_of_the_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = run("evaluate", "chars", "--against", "pairs", "--calibration", "--memorisation").out
    assert max(map(len, out.splitlines())) <= int(columns)


def test_without_being_asked_nothing_more_is_measured(run: Run) -> None:
    found = run("evaluate", "chars", "--json").json
    assert not {"against", "calibration", "memorisation"} & set(found)


def test_rounded_weights_are_measured_beside_float32(run: Run) -> None:
    outcome = run("evaluate", "chars", "--weights", "int8")
    shown = " ".join(outcome.out.split())
    found = run("evaluate", "chars", "--weights", "int8", "--json").json
    plain, rounded = found["weights"]["float32"], found["weights"]["int8"]
    assert found["loss"] == plain["loss"] != rounded["loss"]
    assert f"float32 {plain['loss']:.4f}, int8 {rounded['loss']:.4f}: rounding" in shown
    assert plain["loss"] == pytest.approx(run("evaluate", "chars", "--json").json["loss"], abs=0.01)


def test_two_comparisons_are_one_too_many(run: Run) -> None:
    outcome = run("evaluate", "chars", "--weights", "int8", "--against", "pairs")
    assert outcome.code == 2 and "one by one" in outcome.err
