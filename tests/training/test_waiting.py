"""Before a run is planned, nothing is waited for that a busy machine may take minutes for."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from homespun.api import machine_facts
from homespun.finetuning import speed
from homespun.kernels import select
from homespun.kernels.training import operations
from homespun.machine import builds as native
from homespun.model.config import GPTConfig
from homespun.planning.cost import Speed
from homespun.planning.facts import Facts
from homespun.planning.planner import Wishes, longest_wait
from homespun.planning.search import Size
from homespun.training import measured_speed as calibrate


class Endless:
    """A compiler that does not come to its end."""

    def __init__(self) -> None:
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> None:
        self.waited.append(timeout)
        assert timeout is not None, "this would wait for ever"
        raise subprocess.TimeoutExpired("g++", timeout)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    compiler = Endless()
    monkeypatch.setattr(native, "at_it", [compiler])
    return compiler


def test_a_compiler_that_takes_long_is_not_waited_for_and_goes_on(
    endless: Endless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(native.Source, "place", lambda self: tmp_path / "it.so")
    monkeypatch.setattr(native, "leave_to_another", lambda *what, **how: begun.append(how))
    monkeypatch.setattr(native, "make", lambda *what: pytest.fail("this takes as long as it takes"))
    source = native.Source("it", tmp_path, ("it.cpp",))
    assert source.library(wait=True, at_most=0.0) is None
    assert native.at_it == [endless] and endless.waited and max(endless.waited) == 0.0  # type: ignore[type-var]
    assert begun == [{"in_haste": True}]


def test_with_our_own_operations_only_a_share_of_the_minutes_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    def available(*, wait: bool, at_most: float = math.inf) -> bool:
        asked.append(at_most)
        return False

    monkeypatch.setattr(operations, "available", available)
    assert calibrate.compiled_way("cpu", "bfloat16", longest_wait(1.0)) == "compiled"
    large = GPTConfig.of("modern", vocab_size=50_000, context_length=512, n_layer=12, n_head=12, n_embd=768)
    assert not select.worth_compiling(large, "cpu", "bfloat16", longest_wait(1.0))
    assert asked and set(asked) == {6.0}


@pytest.mark.parametrize(("at_most", "steps"), [(-1.0, 2), (math.inf, 1 + calibrate.STEPS)])
def test_steps_are_timed_again_only_while_there_is_time(
    at_most: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    real = calibrate.Optimizers.step
    monkeypatch.setattr(calibrate.Optimizers, "step", lambda self, share: (taken.append(1), real(self, share))[1])
    monkeypatch.setattr(calibrate, "SHAPES", (Size(1, 2, 16, 8, 2), Size(2, 2, 16, 8, 2), Size(1, 2, 16, 8, 4)))
    assert calibrate.measured_speed("cpu", "float32", at_most).start >= 0
    assert len(taken) == 3 * steps


def test_the_plan_is_made_after_a_share_of_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, float] = {}

    def measured_speed(device: str, dtype: str, at_most: float, *, kernels: bool) -> Speed:
        given["timing"] = at_most
        assert not kernels
        return Speed(1e-11, 1e-9, 1e-3)

    def compiled_way(device: str, dtype: str, at_most: float) -> str:
        given["operations"] = at_most
        return "compiled"

    monkeypatch.setattr(native, "wait_for_own_compilers", lambda at_most: given.update(compilers=at_most))
    monkeypatch.setattr(calibrate, "measured_speed", measured_speed)
    monkeypatch.setattr(calibrate, "compiled_way", compiled_way)
    monkeypatch.setattr(select, "computes_step", lambda *what: (given.update(kernels=what[-1]), False)[1])
    facts = Facts(train_tokens=10**6, val_tokens=10**5, vocab_size=65, can_compile=True)
    machine_facts.timed(facts, Wishes(text=("t",), tokenizer="char", minutes=1.0))
    assert given.keys() == {"compilers", "kernels", "timing", "operations"}
    assert max(given.values()) <= longest_wait(1.0) == 6.0


def test_a_fine_tuning_is_timed_again_only_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.planning.tuning_plan import TuningPlan
    from tests.finetuning.conftest import tiny_config

    steps = []
    real = speed.Learner.forward
    monkeypatch.setattr(speed.Learner, "forward", lambda self, *batch: (steps.append(1), real(self, *batch))[1])
    plan = TuningPlan(
        text=("t",),
        base="b",
        base_revision="",
        base_key="",
        method="full",
        conversations=False,
        context_length=16,
        steps=1,
        batch_size=1,
        rank=0,
        alpha=0.0,
        learning_rate=1e-3,
        warmup_steps=0,
    )
    speed.seconds_per_token(plan, tiny_config("llama"), at_most=-1.0)
    assert len(steps) == 2 * 2
