"""A run that has ended is carried on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homespun.dataset.preparation import Dataset
from homespun.errors import CheckpointError, UsageError
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.extension import extended_plan
from tests.training.conftest import small_plan
from tests.training.test_resume import assert_same_run, stopped_at
from tests.training.test_run import run_of


@pytest.fixture
def ended(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    run_of(dataset, tokenizer, tmp_path / "run", small_plan(dataset, evaluate_every=10, dropout=0.1)).train()
    return tmp_path / "run"


def plan_of(run: Path) -> Plan:
    return Plan.load(run / "plan.toml")


def test_an_extended_run_goes_on_where_it_was_and_learns_more(
    ended: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    before = [json.loads(line) for line in (ended / "metrics.jsonl").read_text().splitlines()]
    plan = extended_plan(ended, plan_of(ended), minutes=None, steps=60)
    assert (plan.steps, plan.extended, plan.minutes) == (100, (40,), 0.0)
    result = run_of(dataset, tokenizer, ended, plan, resume=True).train()
    after = [json.loads(line) for line in (ended / "metrics.jsonl").read_text().splitlines()]
    assert after[: len(before)] == before and after[-1]["step"] == 100
    assert result.val_loss < before[-1]["val_loss"] - 0.1


def test_the_plan_of_an_extended_run_replays_all_of_it_to_the_bit(
    ended: Path, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    for _ in range(2):  # extended, and extended again
        plan = extended_plan(ended, plan_of(ended), minutes=None, steps=15)
        run_of(dataset, tokenizer, ended, plan, resume=True).train()
    run_of(dataset, tokenizer, tmp_path / "again", plan_of(ended)).train()
    assert_same_run(ended, tmp_path / "again")


def test_an_extension_that_is_interrupted_goes_on_to_the_bit(
    ended: Path, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plan = extended_plan(ended, plan_of(ended), minutes=None, steps=30)
    for step in (40, 41, 55):  # before its first step, after it, on the way
        stopped_at(step, run_of(dataset, tokenizer, ended, plan, resume=True)).train()
        plan = plan_of(ended)
    run_of(dataset, tokenizer, ended, plan, resume=True).train()
    run_of(dataset, tokenizer, tmp_path / "again", plan).train()
    assert_same_run(ended, tmp_path / "again")


def test_minutes_are_added_to_those_that_the_run_has_had(ended: Path) -> None:
    plan = extended_plan(ended, plan_of(ended), minutes=20, steps=None)
    had = json.loads((ended / "metrics.jsonl").read_text().splitlines()[-1])["seconds"] / 60
    assert plan.steps > 40 and plan.minutes >= 20 + 0.9 * had


def test_a_run_that_has_not_ended_is_not_extended(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    stopped_at(7, run_of(dataset, tokenizer, tmp_path / "run")).train()
    with pytest.raises(UsageError) as error:
        extended_plan(tmp_path / "run", plan_of(tmp_path / "run"), minutes=5, steps=None)
    assert str(error.value).startswith(f"{tmp_path / 'run'} has not ended yet: 7 of 40 steps are done.")
    assert "--resume" in error.value.todo


def test_a_run_without_resume_points_cannot_be_extended(ended: Path) -> None:
    import shutil

    shutil.rmtree(ended / "resume")
    with pytest.raises(CheckpointError, match="has no resume point"):
        extended_plan(ended, plan_of(ended), minutes=5, steps=None)


@pytest.mark.parametrize("minutes", [0.0, -3.0, float("nan"), float("inf")])
def test_minutes_that_are_none_are_refused(ended: Path, minutes: float) -> None:
    with pytest.raises(UsageError, match="is no time to train in"):
        extended_plan(ended, plan_of(ended), minutes=minutes, steps=None)
