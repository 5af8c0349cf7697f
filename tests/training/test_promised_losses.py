"""The losses that are promised, trained for real on tiny Shakespeare:  make test-slow"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import homespun
from homespun.training.watcher import Result, Watcher
from tests.patience import LONG_PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_PATIENCE)]


@pytest.fixture
def trained(shakespeare_path: Path, tmp_path: Path) -> Any:
    def train(**wishes: Any) -> Result:
        return homespun.train(shakespeare_path, out=tmp_path / "run", watcher=Watcher(), **wishes).result

    return train


def test_gpt2_at_the_size_of_the_recipe_for_a_cpu_ends_below_that_recipe(trained: Any) -> None:
    assert trained(model="gpt2", size="nano", steps=2000).val_loss <= 1.89


def test_modern_gets_much_more_out_of_the_same_tokens(trained: Any) -> None:
    assert trained(model="modern", size="nano", steps=2000).val_loss <= 1.65


def test_the_plain_recipe_is_the_recipe(trained: Any) -> None:
    """AdamW in float32: what the plan gives is to be compared with something that we run ourselves."""
    plain = {
        "optimizer": "adamw",
        "dtype": "float32",
        "learning_rate": 1e-3,
        "weight_decay": 0.1,
        "compile": False,
    }
    assert 1.75 <= trained(model="gpt2", size="nano", steps=2000, settings=plain).val_loss <= 2.0


def test_the_toy_gpt_of_the_lecture_comes_out_where_the_lecture_says(trained: Any) -> None:
    toy = {"n_layer": 4, "n_head": 4, "n_embd": 64, "context_length": 32, "batch_size": 16}
    result = trained(model="lecture", size="nano", steps=5000, settings=toy)
    assert result.parameters == 209_729
    assert result.val_loss == pytest.approx(1.82, abs=0.05)


def test_the_bigram_comes_out_where_the_lecture_says(trained: Any) -> None:
    settings = {"context_length": 8, "batch_size": 32}
    assert 2.45 <= trained(model="bigram", steps=10_000, settings=settings).val_loss <= 2.65
