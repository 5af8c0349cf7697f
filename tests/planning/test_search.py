"""The search for a shape, on facts of the test's: nothing is trained here."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from homespun.dataset.ngrams import ngram_baselines
from homespun.model.config import GPTConfig
from homespun.planning.cost import Speed, work_of_a_step
from homespun.planning.expected_loss import expected_loss
from homespun.planning.facts import Facts
from homespun.planning.forecast import forecast_of
from homespun.planning.memory import SHARE
from homespun.planning.plan import Plan
from homespun.planning.planner import Wishes, decide, plan_for_next_time, size_of
from homespun.planning.search import MOST_EPOCHS, MOST_EPOCHS_DROPPING, SIZES, enough_steps

LAPTOP = Speed(product=2e-12, number=3e-9, start=1e-3)
TALL = (3.3, 2.5, 2.0, 1.7, 1.6)  # what counting reaches on an English text, roughly


def facts(**what: object) -> Facts:
    known: dict[str, object] = {
        "train_tokens": 50_000_000,
        "val_tokens": 5_000_000,
        "vocab_size": 100,
        "ngram_losses": TALL,
        "static": 1.9,
        "cached": 1.58,
        "speed": LAPTOP,
    }
    return Facts(**(known | what))  # type: ignore[arg-type]


def planned(minutes: float, found: Facts, **more: object) -> Plan:
    return decide(Wishes(text=("book.txt",), tokenizer="char", minutes=minutes, **more), found)  # type: ignore[arg-type]


def parameters(plan: Plan, found: Facts) -> int:
    return plan.config(found.vocab_size).number_of_parameters()


def test_more_time_gives_a_larger_model_and_a_lower_expectation() -> None:
    found = facts()
    plans = [planned(minutes, found) for minutes in (1, 3, 10, 60, 600)]
    sizes = [parameters(plan, found) for plan in plans]
    assert sizes == sorted(sizes) and sizes[-1] > 5 * sizes[0]
    losses = [forecast_of(plan, found).loss.loss for plan in plans]  # type: ignore[union-attr]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def test_a_faster_machine_gives_a_larger_model() -> None:
    slow, fast = facts(), facts(speed=LAPTOP.times(0.05))
    assert parameters(planned(10, fast), fast) > parameters(planned(10, slow), slow)


def test_where_the_time_suffices_for_a_few_steps_only_the_model_is_small() -> None:
    slow = facts(speed=LAPTOP.times(10))
    plan = planned(0.1, slow)
    assert plan.steps < 100 and parameters(plan, slow) < 500_000


def test_a_shape_that_is_compiled_already_is_taken_again_where_another_is_hardly_better() -> None:
    found = facts(can_compile=True, compiled_speed=LAPTOP.times(0.5))
    first = planned(3, found)
    shape = tuple(vars(size_of(first)).values())
    for noise in (0.85, 1.0, 1.2):  # a machine is never as fast as the time before
        again = facts(can_compile=True, compiled_speed=LAPTOP.times(0.5 * noise), compiled=frozenset({shape}))
        plan = planned(3, again)
        assert tuple(vars(size_of(plan)).values()) == shape


def test_a_minute_is_too_short_to_compile_in_unless_that_was_done_before() -> None:
    found = facts(can_compile=True, compiled_speed=LAPTOP.times(0.5))
    first = planned(1, found)
    assert not first.compile and first.steps == planned(1, facts()).steps
    assert forecast_of(first, found).loss == forecast_of(planned(1, facts()), facts()).loss
    assert not planned(1, found, size="nano").compile and planned(1, found, settings=(("compile", True),)).compile
    assert planned(5, found).compile
    wishes = Wishes(text=("book.txt",), tokenizer="char", minutes=1)
    later = plan_for_next_time(wishes, found, first)
    assert later is not None and later.compile
    again = replace(found, compiled=frozenset({tuple(vars(size_of(later)).values())}))
    assert planned(1, again) == later and plan_for_next_time(wishes, again, later) is None
    half = replace(wishes, minutes=0.5)
    assert plan_for_next_time(half, found, decide(half, found)) is None


def test_a_small_text_is_not_learnt_by_heart_however_much_time_there_is() -> None:
    found = facts(train_tokens=100_000, val_tokens=10_000)
    for minutes in (1, 10, 600):
        plan = planned(minutes, found)
        assert plan.steps * plan.tokens_per_step <= (MOST_EPOCHS_DROPPING + 1) * 100_000
    assert parameters(planned(600, found), found) < 20_000_000


def test_a_text_is_read_with_dropout_from_where_it_would_be_learnt_by_heart() -> None:
    found = facts(train_tokens=100_000, val_tokens=10_000)
    for minutes in (0.2, 1, 10, 600):
        plan = planned(minutes, found)
        often = plan.steps * plan.tokens_per_step >= MOST_EPOCHS * 100_000
        assert bool(plan.dropout) == often
    assert plan.dropout
    assert not planned(600, found, settings=(("dropout", 0.0),)).dropout
    assert planned(0.2, found, settings=(("dropout", 0.1),)).dropout == 0.1
    assert not planned(600, found, model="gpt2").dropout  # it would take a number at a time


def test_more_minutes_are_used_where_the_text_has_more_to_teach() -> None:
    found = facts(train_tokens=1_000_000, val_tokens=100_000, speed=LAPTOP.times(0.2))
    for minutes in (1, 3, 10, 30):
        assert forecast_of(planned(minutes, found), found).seconds > 0.95 * 60 * minutes


def test_what_is_fixed_stays_and_the_search_goes_round_it() -> None:
    found = facts()
    plan = planned(10, found, settings=(("n_layer", 7), ("n_embd", 96)), context_length=96)
    assert (plan.n_layer, plan.n_embd, plan.context_length) == (7, 96, 96)
    assert plan.n_embd % plan.n_head == 0


def test_the_model_fits_into_memory() -> None:
    found = facts(memory_free=300_000_000, speed=LAPTOP.times(0.01))
    plan = planned(600, found)
    assert plan.config(100).memory(plan.batch_size // plan.micro_batches) <= SHARE * 300_000_000


def test_the_context_leaves_room_for_validation() -> None:
    found = facts(train_tokens=4_000, val_tokens=400)
    assert planned(5, found).context_length <= 100


@pytest.mark.parametrize("model", ["gpt2", "llama", "modern"])
def test_every_family_that_is_trained_for_its_own_sake_is_searched_for(model: str) -> None:
    found = facts()
    plan = planned(5, found, model=model)
    assert plan.steps > 100 and parameters(plan, found) > 100_000
    assert forecast_of(plan, found).loss is not None


def test_a_bigram_model_is_expected_to_learn_what_counting_pairs_tells() -> None:
    found = facts()
    loss = forecast_of(planned(1, found, model="bigram"), found).loss
    assert loss is not None and loss.loss == TALL[1]


def test_without_a_measured_machine_there_is_still_a_plan() -> None:
    plan = planned(5, facts(speed=None))
    assert plan.steps >= 1 and plan.minutes == 5


def test_steps_are_as_many_as_fit() -> None:
    found = facts()
    plan = planned(10, found)
    seconds = plan.steps * LAPTOP.seconds(work_of_a_step(plan.config(100), plan.batch_size))
    assert 0.85 * 600 < seconds < 600
    assert forecast_of(plan, found).seconds == pytest.approx(600, rel=0.02)


def test_work_grows_with_every_number_of_the_shape() -> None:
    def work(**more: int) -> float:
        shape = {"n_layer": 2, "n_head": 2, "n_embd": 64, "context_length": 64, "vocab_size": 100} | more
        batch = shape.pop("batch_size", 8)
        return LAPTOP.seconds(work_of_a_step(GPTConfig.of("modern", **shape), batch))

    larger = ({"n_layer": 4}, {"n_embd": 128}, {"context_length": 128}, {"batch_size": 16}, {"vocab_size": 1000})
    assert all(work(**more) > work() for more in larger)


def test_named_sizes_are_there_for_who_wants_them() -> None:
    plan = planned(5, facts(), size="micro")
    assert (plan.n_layer, plan.n_head, plan.n_embd) == (5, 6, 192) == tuple(vars(SIZES["micro"]).values())[:3]


def test_a_run_ends_where_the_text_is_known_by_heart_or_was_read_as_often_as_is_known_to_help() -> None:
    config = GPTConfig.of("modern", vocab_size=65, context_length=128, n_layer=6, n_head=6, n_embd=192)
    for dropout, most in ((0.0, MOST_EPOCHS), (0.2, MOST_EPOCHS_DROPPING)):
        config = config.with_(dropout=dropout)
        enough, limit = enough_steps(config, 2048, 100_000), math.ceil(most * 100_000 / 2048)
        half, whole, twice = (
            expected_loss(config, round(enough * times), 2048, 100_000) for times in (0.5, 1.0, 2.0)
        )
        assert 1 < enough <= limit
        assert whole < half and (enough == limit or whole < twice)


def test_counting_finds_what_is_easy_in_a_text(shakespeare_text: str) -> None:
    import numpy as np

    alphabet = sorted(set(shakespeare_text))
    ids = np.array([alphabet.index(c) for c in shakespeare_text[:200_000]], dtype=np.uint16)
    found = ngram_baselines(ids[:180_000], ids[180_000:], len(alphabet))
    assert 4.1 < found.uniform < 4.2
    assert 3.2 < found.losses[0] < 3.5 and 2.3 < found.losses[1] < 2.6  # single letters; the bigram
    assert found.cached < found.best < found.losses[2]
    assert found.static > found.best


def test_a_size_is_the_shape_of_its_config() -> None:
    config = SIZES["nano"].config("llama", 65)
    assert (config.family, config.vocab_size, config.dropout) == ("llama", 65, 0.0)
    assert (config.n_layer, config.n_head, config.n_embd, config.context_length) == (4, 4, 128, 64)
