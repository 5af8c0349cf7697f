"""The plan of a fine-tuning: a pure function of facts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homespun.errors import TrainingError, UnknownSetting, UsageError
from homespun.model.config import BigramConfig, GPTConfig
from homespun.planning.tuning_facts import TuningFacts
from homespun.planning.tuning_memory import lora_numbers
from homespun.planning.tuning_plan import TuningPlan, parse_settings, settable
from homespun.planning.tuning_planner import EPOCHS, TuningWishes, decide, forecast, way_for

SMOL = GPTConfig.of(
    "llama",
    vocab_size=49_152,
    context_length=8192,
    n_layer=30,
    n_head=9,
    n_kv_head=3,
    n_embd=576,
    n_inner=1536,
    tied_head=True,
)
FACTS = TuningFacts(
    train_tokens=1_500_000,
    val_tokens=150_000,
    config=SMOL,
    dtype="bfloat16",
    seconds=1 / 800,
    memory_free=8 * 10**9,
)


def plan(facts: TuningFacts = FACTS, settings: dict[str, Any] | None = None, **wishes: Any) -> TuningPlan:
    asked = tuple(parse_settings(settings or {}).items())
    return decide(TuningWishes(text=("book.txt",), base="smollm2", settings=asked, **wishes), facts)


def test_more_minutes_are_more_steps_and_never_smaller_ones() -> None:
    plans = [plan(minutes=minutes) for minutes in (1.0, 3.0, 10.0, 30.0)]
    learnt = [one.steps * one.tokens_per_step for one in plans]
    assert learnt == sorted(learnt) and learnt[0] < learnt[-1]
    assert [one.tokens_per_step for one in plans] == sorted(one.tokens_per_step for one in plans)


@pytest.mark.parametrize("minutes", [0.5, 1.0, 5.0, 60.0])
def test_what_is_planned_fits_into_the_minutes(minutes: float) -> None:
    decided = plan(minutes=minutes)
    assert decided.steps * decided.tokens_per_step * FACTS.seconds <= 60 * minutes
    assert forecast(decided, FACTS).seconds <= 60 * minutes


def test_a_small_text_is_not_read_for_ever() -> None:
    decided = plan(replace(FACTS, train_tokens=20_000), minutes=60.0)
    assert decided.steps * decided.tokens_per_step <= EPOCHS * 20_000


def test_less_memory_is_smaller_parts_then_blocks_twice_then_a_refusal() -> None:
    plans = [plan(replace(FACTS, memory_free=int(free)), minutes=30.0) for free in (16e9, 2.5e9, 0.75e9)]
    assert [one.recompute for one in plans] == [False, False, True]
    assert plans[0].batch_size // plans[0].micro_batches > plans[1].batch_size // plans[1].micro_batches
    with pytest.raises(TrainingError, match="GB of memory") as caught:
        plan(replace(FACTS, memory_free=3 * 10**8), minutes=30.0)
    assert "--qlora" in caught.value.todo


def test_memory_that_other_programs_have_at_the_moment_is_no_reason_to_refuse() -> None:
    decided = plan(replace(FACTS, memory=8 * 10**9, memory_free=3 * 10**8), minutes=30.0)
    assert decided.recompute and decided.micro_batches == decided.batch_size


def test_four_bits_take_less_and_full_takes_more() -> None:
    memory = [forecast(plan(minutes=5.0, method=method), FACTS).memory for method in ("qlora", "lora", "full")]
    assert memory == sorted(memory) and memory[0] < 0.9 * 10**9 and memory[2] > 2 * 10**9


def test_settings_win_over_the_plan_and_alpha_follows_the_rank() -> None:
    decided = plan(settings={"rank": 8, "batch_size": 6, "context_length": 100, "learning_rate": 1e-4}, steps=7)
    assert (decided.rank, decided.alpha, decided.batch_size, decided.context_length) == (8, 16.0, 6, 100)
    assert (decided.steps, decided.minutes, decided.learning_rate) == (7, 0.0, 1e-4)
    assert decided.trainable_parameters == lora_numbers(SMOL, 8)


def test_rows_of_conversations_are_as_long_as_these() -> None:
    assert plan(replace(FACTS, lengths=30), minutes=5.0).context_length == 256
    assert plan(replace(FACTS, lengths=300), minutes=5.0).context_length == 320
    assert plan(replace(FACTS, lengths=100_000), minutes=5.0).context_length == 1024
    assert (
        plan(replace(FACTS, lengths=9_000, config=SMOL.with_(context_length=512)), minutes=5.0).context_length
        == 512
    )


def test_wishes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="both say how long"):
        plan(minutes=5.0, steps=5)
    for wishes in ({"minutes": 0.0}, {"minutes": float("nan")}, {"steps": 0}):
        with pytest.raises(UsageError):
            plan(**wishes)
    with pytest.raises(UnknownSetting, match="rank = 4 does not go with full"):
        plan(method="full", settings={"rank": 4})
    with pytest.raises(UnknownSetting, match="There is no setting 'rnak'"):
        parse_settings(["rnak=4"])


def test_new_tokens_and_models_of_the_lessons_are_trained_in_full() -> None:
    assert way_for(SMOL, "", 0) == ("lora", "")
    assert way_for(SMOL, "qlora", 0) == ("qlora", "")
    assert way_for(SMOL, "", 2)[0] == "full"
    assert way_for(BigramConfig(65), "", 0)[0] == "full"
    assert way_for(BigramConfig(65), "full", 0) == ("full", "")
    with pytest.raises(UsageError, match="2 new tokens"):
        way_for(SMOL, "lora", 2)


def test_a_plan_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    decided = plan(minutes=3.0, method="qlora")
    decided.save(tmp_path / "plan.toml")
    assert TuningPlan.load(tmp_path / "plan.toml") == decided
    assert "homespun finetune --plan" in (tmp_path / "plan.toml").read_text()


def test_every_setting_has_its_help() -> None:
    assert {"rank", "alpha", "learning_rate", "batch_size", "context_length", "recompute"} <= set(settable())
    assert all(settable().values())
