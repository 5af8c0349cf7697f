"""What a clock, memory or a signal decides is decided once, and every process of a run adopts it.

The two worlds here run one after the other and hand no weights round: AdamW, which every process computes whole.
"""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import pytest
import torch

from homespun.dataset.preparation import Dataset
from homespun.model.gpt import build
from homespun.planning.plan import Plan
from homespun.training import clock as clock_module
from homespun.training.clock import RunClock
from homespun.training.loop import Loop
from homespun.training.objective import NextToken
from homespun.training.watcher import Watcher
from homespun.training.world import OneProcess
from tests.training.conftest import small_plan
from tests.training.hooked import Hook, Hooked

T = TypeVar("T")


class RankZero(OneProcess):
    """Writes down what it decides."""

    def __init__(self) -> None:
        super().__init__(rank=0, size=2)
        object.__setattr__(self, "decided", [])

    def agree(self, value: T) -> T:
        self.decided.append(value)  # type: ignore[attr-defined]
        return value

    def any(self, flag: bool) -> bool:
        return self.agree(flag)


class RankOne(OneProcess):
    """Adopts what the other has decided."""

    def __init__(self, decided: list[Any]) -> None:
        super().__init__(rank=1, size=2)
        object.__setattr__(self, "decided", iter(decided))

    def agree(self, value: T) -> T:
        return next(self.decided)  # type: ignore[attr-defined, no-any-return]

    def any(self, flag: bool) -> bool:
        return self.agree(flag)


class Ticking:
    """A clock that is so many seconds further at every look."""

    def __init__(self, seconds: float) -> None:
        self.times = itertools.count(0.0, seconds)

    def monotonic(self) -> float:
        return next(self.times)


def trained(
    plan: Plan, dataset: Dataset, world: OneProcess, hook: Hook | None = None, **asked: Any
) -> tuple[Loop[Plan], float]:
    torch.manual_seed(plan.seed)
    model = build(plan.config(dataset.vocab_size))
    objective = Hooked(plan, dataset, hook) if hook else NextToken(plan, dataset)
    loop = Loop(plan, model, objective, watcher=Watcher(), clock=RunClock(0.0), world=world, **asked)
    losses = [record.val_loss for record in loop.run()]
    return loop, losses[-1]


def test_processes_with_clocks_of_their_own_take_the_same_steps(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan(dataset, steps=300).with_(minutes=1.0, optimizer="adamw")
    first = RankZero()
    monkeypatch.setattr(clock_module, "time", Ticking(0.05))
    one, loss = trained(plan, dataset, first)
    assert one.plan.rescheduled and one.step < 300, "the clock has to decide something"
    monkeypatch.setattr(clock_module, "time", Ticking(0.001))
    other, same = trained(plan, dataset, RankOne(first.decided))  # type: ignore[attr-defined]
    assert (other.plan, other.step, same) == (one.plan, one.step, loss)


def test_a_signal_to_one_process_stops_all_at_the_same_step(dataset: Dataset) -> None:
    plan, first = small_plan(dataset, steps=20), RankZero()
    asked = iter([False] * 7 + [True])
    one, _ = trained(plan, dataset, first, stop_asked=lambda: next(asked))
    other, _ = trained(plan, dataset, RankOne(first.decided))  # type: ignore[attr-defined]
    assert one.step == other.step == 7


def test_micro_batches_are_as_many_everywhere(dataset: Dataset) -> None:
    def memory_for_two(step: int, forward: Any, micro_batch: Any) -> Any:
        if len(micro_batch[0]) > 2:
            raise RuntimeError("CUDA out of memory.")
        return forward(*micro_batch)

    plan, first = small_plan(dataset, steps=5).with_(optimizer="adamw"), RankZero()
    one, loss = trained(plan, dataset, first, memory_for_two)
    assert one.plan.micro_batches == 4
    other, same = trained(plan, dataset, RankOne(first.decided), memory_for_two)  # type: ignore[attr-defined]
    assert (other.plan, same) == (one.plan, loss)
