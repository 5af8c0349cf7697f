"""The forecast of a run of a few steps, compared with `homespun train TEXT --size nano --steps N`."""

from __future__ import annotations

import math

import pytest

from homespun.planning.facts import Facts
from homespun.planning.first_steps import loss_after_few_steps, share_of_the_law
from homespun.planning.forecast import forecast_of
from homespun.planning.planner import Wishes, decide

# vocabulary size, n-gram baselines, their static and cached ones, and the loss that so many steps came to
CAME_TO = {
    "shakespeare char": (
        (65, (3.3284, 2.463, 1.9908, 1.7044, 1.6149, 1.6616), 1.95, 1.5959),
        {1: 3.867, 2: 3.279, 5: 2.952, 10: 2.728, 20: 2.554, 50: 2.326},
    ),
    "shakespeare bpe:1000": (
        (1000, (5.7001, 3.9053, 3.4167, 3.4802, 3.5737, 3.6276), 3.7475, 3.3904),
        {1: 6.623, 2: 6.156, 5: 5.657, 10: 5.348, 20: 4.988, 50: 4.58, 100: 4.255},
    ),
    "python char": (
        (96, (3.0211, 2.2469, 1.6008, 1.2047, 1.0517, 0.9923), 1.0975, 0.9565),
        {1: 3.864, 2: 3.117, 5: 2.673, 10: 2.49, 20: 2.345, 50: 2.17},
    ),
}


# size, optimizer, steps, and the loss that they came to on Shakespeare's characters
OTHER_SHAPES = [
    ("nano", "adamw", 1, 3.871), ("nano", "adamw", 5, 3.530), ("nano", "adamw", 10, 3.286),
    ("nano", "adamw", 20, 2.876), ("nano", "adamw", 50, 2.478), ("nano", "adamw", 100, 2.305),
    ("mini", "muon", 2, 3.627), ("mini", "muon", 10, 2.793), ("mini", "muon", 20, 2.517),
    ("mini", "muon", 50, 2.337), ("mini", "muon", 80, 2.128), ("mini", "muon", 120, 1.942),
    ("mini", "adamw", 2, 3.612), ("mini", "adamw", 5, 3.410), ("mini", "adamw", 20, 2.973),
    ("mini", "adamw", 50, 2.520), ("mini", "adamw", 100, 2.205),
    ("small", "muon", 20, 2.487), ("small", "adamw", 5, 3.366), ("small", "adamw", 20, 3.214),
]  # fmt: skip


def facts_of(name: str) -> Facts:
    vocab_size, ngram_losses, static, cached = CAME_TO[name][0]
    return Facts(10**6, 10**5, vocab_size, ngram_losses=ngram_losses, static=static, cached=cached)


def forecast(facts: Facts, steps: int, size: str = "nano", optimizer: str = "muon") -> tuple[float, float, float]:
    settings = (("compile", False), ("optimizer", optimizer))
    wishes = Wishes(text=("t",), tokenizer="char", size=size, steps=steps, settings=settings)
    loss = forecast_of(decide(wishes, facts), facts).loss
    assert loss is not None
    return loss.low, loss.loss, loss.high


@pytest.mark.parametrize(
    ("name", "steps"), [(name, steps) for name, (_, losses) in CAME_TO.items() for steps in losses]
)
def test_a_run_of_a_few_steps_ends_where_it_is_expected(name: str, steps: int) -> None:
    came_to = CAME_TO[name][1][steps]
    low, loss, high = forecast(facts_of(name), steps)
    assert loss == pytest.approx(came_to, rel=0.055)
    assert low < came_to < high


@pytest.mark.parametrize(("size", "optimizer", "steps", "came_to"), OTHER_SHAPES)
def test_larger_models_and_adamw_end_in_the_range(size: str, optimizer: str, steps: int, came_to: float) -> None:
    low, _, high = forecast(facts_of("shakespeare char"), steps, size, optimizer)
    assert low < came_to < high


def test_larger_models_and_adamw_are_not_expected_to_learn_more_than_they_did() -> None:
    facts = facts_of("shakespeare char")
    off = [
        came_to / forecast(facts, steps, size, optimizer)[1] for size, optimizer, steps, came_to in OTHER_SHAPES
    ]
    assert abs(math.log(math.prod(off))) / len(off) < 0.04  # 13% too good on average before


@pytest.mark.parametrize("name", CAME_TO)
@pytest.mark.parametrize("size", ["nano", "micro", "small", "large"])
def test_it_falls_with_every_step_from_below_what_an_untrained_model_costs(name: str, size: str) -> None:
    facts = facts_of(name)
    losses = [forecast(facts, steps, size)[1] for steps in (1, 2, 3, 5, 10, 20, 30, 50, 80, 125, 200, 400)]
    assert losses == sorted(losses, reverse=True)
    assert 0.85 * math.log(facts.vocab_size) < losses[0] < math.log(facts.vocab_size)
    unigrams, bigrams = facts.ngram_losses[:2]
    assert all(loss > bigrams for loss in losses[:5]) and losses[1] > 0.95 * unigrams


def test_large_batches_promise_no_more_in_their_first_steps() -> None:
    facts = facts_of("shakespeare char")
    assert {forecast(facts, 10, size)[1] for size in ("nano", "small")} == {forecast(facts, 10)[1]}


def test_runs_that_the_law_was_fitted_to_are_left_to_it() -> None:
    assert share_of_the_law(125, 4096, 300_000) == share_of_the_law(250, 1024, 100_000) == 1.0
    assert 0.0 < share_of_the_law(81, 4096, 300_000) < 1.0 and share_of_the_law(50, 768, 300_000) == 0.0


@pytest.mark.parametrize("steps", [100, 250, 1000, 10_000])
def test_a_text_whose_bigrams_say_nearly_all_is_not_expected_to_cost_less_than_they_do(steps: int) -> None:
    facts = Facts(10**4, 10**3, 30, ngram_losses=(2.8, 0.05, 0.04), static=0.04, cached=0.04)
    low, loss, high = forecast(facts, steps)
    assert 0 < low < loss < high
    assert loss_after_few_steps(steps, 30, facts.ngram_losses) == 0.04


@pytest.mark.parametrize("ngram_losses", [(0.7,), (0.6, 0.9)])
def test_baselines_that_are_worse_than_a_guess_or_with_context_are_no_gain(
    ngram_losses: tuple[float, ...],
) -> None:
    _, loss, _ = forecast(Facts(10**4, 10**3, 2, ngram_losses=ngram_losses, static=0.6, cached=0.6), 3)
    assert 0.55 < loss <= math.log(2) + 1e-9
