"""A run keeps its embedding at each evaluation, and a run that went on has what one in a single piece has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homespun.checkpoint import embedding_history
from homespun.checkpoint.embedding_history import files, read_embeddings
from homespun.checkpoint.folder import load_model
from homespun.dataset.preparation import Dataset
from homespun.model.gpt import GPT, build
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.recipe import Pretraining
from tests.training.conftest import small_plan
from tests.training.test_resume import stopped_at
from tests.training.test_run import run_of


def test_the_embedding_is_written_after_each_evaluation(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    run = run_of(dataset, tokenizer, tmp_path / "run")
    result = run.train()
    stored = read_embeddings(result.out)
    assert [one.step for one in stored] == [0, 10, 20, 30, 40]
    assert isinstance(run.model, GPT)
    weight = run.model.token_embedding.weight.detach().numpy()
    assert stored[-1].ids.tolist() == list(range(tokenizer.vocab_size))
    np.testing.assert_array_equal(stored[-1].rows, weight[: tokenizer.vocab_size].astype(np.float16))
    assert np.abs(stored[0].rows - stored[-1].rows).max() > 0.01
    assert load_model(result.out)[0].number_of_parameters() == result.parameters, "the folder opens as before"


def test_an_interrupted_run_ends_with_the_same_files(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    run_of(dataset, tokenizer, tmp_path / "whole").train()
    stopped_at(15, run_of(dataset, tokenizer, tmp_path / "two")).train()
    assert [one.step for one in read_embeddings(tmp_path / "two")] == [0, 10, 15]
    run_of(dataset, tokenizer, tmp_path / "two", resume=True).train()
    whole, two = files(tmp_path / "whole"), files(tmp_path / "two")
    assert [path.name for path in whole] == [path.name for path in two]
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in two]


def test_evaluations_that_come_close_together_leave_some_out(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_history, "MOST_FILES", 4)
    run_of(dataset, tokenizer, tmp_path / "run", small_plan(dataset, steps=12, evaluate_every=1)).train()
    assert [one.step for one in read_embeddings(tmp_path / "run")] == [0, 3, 6, 9, 12]


def test_of_a_large_vocabulary_the_frequent_tokens_are_followed(
    dataset: Dataset, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: Any = small_plan(dataset)
    recipe = Pretraining(dataset, tokenizer, "a small book")
    model = recipe.build(plan)
    assert recipe.followed(plan, model).tolist() == list(range(tokenizer.vocab_size))
    monkeypatch.setattr("homespun.training.recipe.most_rows", lambda width: 5)
    counts = np.bincount(dataset.train.ids, minlength=tokenizer.vocab_size)
    chosen = recipe.followed(plan, model)
    assert len(chosen) == 5 and counts[chosen].min() >= np.sort(counts)[-5]
    monkeypatch.setattr("homespun.training.recipe.most_rows", lambda width: 0)
    assert recipe.followed(plan, model).size == 0


def test_a_bigram_has_none(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    plan = small_plan(dataset, model="bigram", steps=2)
    assert not isinstance(build(plan.config(tokenizer.vocab_size)), GPT)
    run_of(dataset, tokenizer, tmp_path / "run", plan).train()
    assert not (tmp_path / "run" / "embedding").exists()
