"""The arithmetic of the cross-validation, on runs and laws of the test's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cross_validation import chosen_right, errors_left_out, source, within_texts
from benchmarks.fit import read_runs
from benchmarks.laws import EIGHT, IN_USE, Candidate, Run, fit

LEVEL = Candidate("one number for all", {"level": (1.0, 1000.0)}, lambda constants, run: constants["level"])


@pytest.fixture(scope="module")
def recorded() -> list[Run]:
    return read_runs()


def test_a_run_is_predicted_by_a_fit_that_has_not_seen_its_group(recorded: list[Run]) -> None:
    texts, losses = ["a", "a", "b"], [2.0, 2.0, 4.0]
    runs = [replace(recorded[0], text=text, loss=loss) for text, loss in zip(texts, losses, strict=True)]
    errors = errors_left_out(LEVEL, runs, texts)
    assert errors == pytest.approx([math.log(2), math.log(2), -math.log(2)], abs=1e-3)


def test_the_fit_finds_the_constants_that_made_the_losses(recorded: list[Run]) -> None:
    wanted = {name: first * 1.1 for name, (first, _) in EIGHT.known.items()}
    runs = [replace(run, loss=EIGHT.predict(wanted, run)) for run in recorded]
    found = fit(EIGHT, runs)
    errors = [math.log(EIGHT.predict(found, run) / run.loss) for run in runs]
    assert np.abs(errors).max() < 0.005


def test_a_choice_is_between_runs_of_one_text_and_like_compute_whose_losses_differ(recorded: list[Run]) -> None:
    run = replace(recorded[0], text="a", tokens=1.0, loss=2.0)
    better, dearer = replace(run, loss=1.9), replace(run, loss=1.5, tokens=2.0)
    runs = [run, better, dearer, replace(better, text="b"), replace(run, loss=2.001)]
    assert chosen_right(np.zeros(5), runs) == (2, 2)  # better than run, and than the run that is as good
    assert chosen_right(np.array([0, 0.2, 0, 0, 0]), runs) == (0, 2)


def test_an_error_that_a_text_has_in_common_is_none_within_it(recorded: list[Run]) -> None:
    runs = [replace(recorded[0], text=text) for text in ("a", "a", "b")]
    assert within_texts(np.array([0.1, 0.3, 0.5]), runs) == pytest.approx([-0.1, 0.1, 0.0])


def test_cuttings_of_a_text_and_its_tokenizers_are_one_source(recorded: list[Run]) -> None:
    assert source(replace(recorded[0], text="python bpe:2048")) == source(replace(recorded[0], text="python"))
    assert source(replace(recorded[0], text="100 kB of Shakespeare")) == source(
        replace(recorded[0], text="shakespeare-plays")
    )


def test_the_law_in_use_has_the_constants_that_are_fitted(recorded: list[Run]) -> None:
    found = fit(IN_USE, recorded[:5], steps=1)
    assert IN_USE.predict(found, recorded[0]) > 0
