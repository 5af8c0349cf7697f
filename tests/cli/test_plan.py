"""homespun plan: what it says, and that train then does it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

PAGE = "\n".join(
    f"The {what} {does} at {when}."
    for what in ("moon", "river", "kettle", "garden")
    for does in ("sleeps", "waits", "sings", "falls")
    for when in ("night", "noon", "one", "two", "three", "four")
)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "book.txt"
    path.write_text(f"{PAGE}\n" * 40, encoding="utf-8")
    return path


def test_a_plan_says_what_will_be_trained_and_what_loss_is_normal(run: Run, book: Path) -> None:
    outcome = run("plan", str(book), "--minutes", "1")
    assert outcome.code == 0
    for part in (
        "model",
        "parameters",
        "training",
        "memory",
        "expected at the end",
        "by counting",
        "To train it:",
    ):
        assert part in outcome.out, part
    assert f"train {book} --minutes 1" in outcome.out
    assert not (book.parent / "runs").exists()


def test_a_plan_as_json_has_every_number(run: Run, book: Path) -> None:
    told = json.loads(run("plan", str(book), "--minutes", "1", "--json").out.splitlines()[-1])
    assert told["plan"]["steps"] >= 1 and told["parameters"] > 1000
    assert told["expected_loss_low"] < told["expected_loss"] < told["expected_loss_high"]
    assert 0 < told["planned_seconds"] <= 60 and told["planned_memory"] > 50_000_000
    assert len(told["counting"]) >= 3 and told["counting"][1] < told["counting"][0]


def test_a_plan_in_a_file_is_carried_out_by_train(run: Run, book: Path) -> None:
    shape = ["--set", "n_layer=1", "--set", "n_embd=32", "--set", "context_length=16", "--set", "batch_size=8"]
    outcome = run("plan", str(book), "--steps", "12", *shape, "--out", "book.toml")
    assert outcome.code == 0 and "train --plan book.toml" in outcome.out
    told = json.loads(run("train", "--plan", "book.toml", "--out", "run", "--json").out.splitlines()[-1])
    assert told["steps"] == 12 and told["peak_memory"] > 0
    planned, done = Path("book.toml").read_text(), Path("run/plan.toml").read_text()
    assert planned == done


def test_what_was_fixed_stands_in_the_plan_and_in_the_command(run: Run, book: Path) -> None:
    outcome = run("plan", str(book), "--minutes", "2", "--set", "n_layer=3", "--context", "32")
    assert "3 layers" in outcome.out and "context 32" in outcome.out
    assert "--context 32 --set n_layer=3" in outcome.out


def test_a_plan_for_nothing_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    outcome = run("plan", str(tmp_path / "empty.txt"))
    assert outcome.code == 1 and "is empty" in outcome.err
    assert run("plan", str(tmp_path / "empty.txt"), "--steps", "5", "--minutes", "1").code != 0


def test_extending_needs_to_know_how_long(run: Run, book: Path) -> None:
    assert run("train", "--extend", "--minutes", "1").code == 2
    outcome = run("train", "--out", "nowhere", "--extend", "--minutes", "1")
    assert outcome.code == 1 and "There is no plan" in outcome.err
    shape = ["--set", "n_layer=1", "--set", "n_embd=32", "--set", "context_length=16", "--set", "batch_size=8"]
    run("train", str(book), "--steps", "5", *shape, "--out", "run", "--json")
    outcome = run("train", "--out", "run", "--extend")
    assert outcome.code == 2 and "how long to carry the run on" in outcome.err
    told = json.loads(run("train", "--out", "run", "--extend", "--steps", "7", "--json").out.splitlines()[-1])
    assert told["steps"] == 12
