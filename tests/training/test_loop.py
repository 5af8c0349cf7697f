from __future__ import annotations

import math
import time
from typing import Any

import pytest
import torch

from homespun.dataset.preparation import Dataset
from homespun.errors import TrainingError
from homespun.model.gpt import build
from homespun.planning.plan import Plan
from homespun.training.clock import RunClock
from homespun.training.loop import Loop
from homespun.training.objective import NextToken
from homespun.training.watcher import Record, Watcher
from tests.training.conftest import small_plan


def trained(plan: Plan, dataset: Dataset, **more: Any) -> tuple[torch.nn.Module, list[Record]]:
    torch.manual_seed(plan.seed)
    model = build(plan.config(dataset.vocab_size))
    objective = NextToken(plan, dataset)
    loop = Loop(plan, model, objective, watcher=Watcher(), clock=RunClock(time.monotonic()), **more)
    return model, list(loop.run())


@pytest.mark.parametrize("family", ["modern", "gpt2", "llama", "lecture"])
def test_every_family_learns(family: str, dataset: Dataset) -> None:
    _, records = trained(small_plan(dataset, model=family, learning_rate=3e-3), dataset)
    assert abs(records[0].val_loss - math.log(dataset.vocab_size)) < 0.2  # knowing nothing costs ln V
    assert records[-1].val_loss < records[0].val_loss - 0.5


def test_the_bigram_learns(dataset: Dataset) -> None:
    _, records = trained(small_plan(dataset, model="bigram", steps=400, learning_rate=0.05), dataset)
    assert records[-1].val_loss < 2.2 < records[0].val_loss


def test_the_same_seed_gives_the_same_numbers_to_the_bit(dataset: Dataset) -> None:
    plan = small_plan(dataset, dropout=0.1)
    one, records = trained(plan, dataset)
    torch.rand(7)  # whatever else happens with torch's dice
    other, again = trained(plan, dataset)
    assert [r.val_loss for r in records] == [r.val_loss for r in again]
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name


def test_another_seed_gives_other_numbers(dataset: Dataset) -> None:
    _, records = trained(small_plan(dataset, seed=1), dataset)
    _, others = trained(small_plan(dataset, seed=2), dataset)
    assert records[-1].val_loss != others[-1].val_loss


def test_a_batch_computed_in_parts_is_the_same_batch(dataset: Dataset) -> None:
    _, whole = trained(small_plan(dataset, steps=10), dataset)
    _, parts = trained(small_plan(dataset, steps=10, micro_batches=4), dataset)
    assert whole[-1].val_loss == pytest.approx(parts[-1].val_loss, abs=1e-4)


def test_bfloat16_learns_as_float32_does(dataset: Dataset) -> None:
    _, exact = trained(small_plan(dataset), dataset)
    _, rounded = trained(small_plan(dataset, dtype="bfloat16"), dataset)
    assert rounded[-1].val_loss == pytest.approx(exact[-1].val_loss, abs=0.05)


def test_records_come_before_the_first_step_as_often_as_planned_and_at_the_end(dataset: Dataset) -> None:
    _, records = trained(small_plan(dataset, steps=25, evaluate_every=10), dataset)
    assert [r.step for r in records] == [0, 10, 20, 25]
    assert [r.tokens for r in records] == [step * 8 * 16 for step in (0, 10, 20, 25)]
    assert records[0].train_loss is None and all(r.train_loss for r in records[1:])
    assert records[-1].lr < records[1].lr


def test_bits_are_nats_divided_by_ln_2(dataset: Dataset) -> None:
    _, records = trained(small_plan(dataset, steps=1), dataset)
    assert records[0].bits_per_char == pytest.approx(records[0].val_loss / math.log(2), rel=1e-3)
    assert records[0].bits_per_byte == pytest.approx(records[0].bits_per_char)  # this text is ASCII


def test_a_loss_that_runs_away_is_noticed_at_the_step(dataset: Dataset) -> None:
    with pytest.raises(TrainingError) as error:
        trained(small_plan(dataset, optimizer="adamw", learning_rate=1e30, warmup_steps=0, clip=0), dataset)
    assert error.value.what.startswith("Training diverged at step ")
    assert "--set learning_rate=3e+29" in error.value.todo


def test_a_request_to_stop_is_followed_after_the_step(dataset: Dataset) -> None:
    steps: list[int] = []

    class Counting(Watcher):
        def stepped(self, progress: Any) -> None:
            steps.append(progress.step)

    plan = small_plan(dataset, steps=1000)
    model = build(plan.config(dataset.vocab_size))
    run_clock = RunClock(time.monotonic())
    objective = NextToken(plan, dataset)
    loop = Loop(plan, model, objective, watcher=Counting(), clock=run_clock, stop_asked=lambda: len(steps) == 7)
    assert [record.step for record in loop.run()] == [0]
    assert steps == [1, 2, 3, 4, 5, 6, 7]
    assert loop.step == 7 and len(loop.losses) == 7  # nothing of it is lost


def test_compiling_that_fails_is_told_in_a_line_and_training_goes_on(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []

    class Notes(Watcher):
        def note(self, line: str) -> None:
            notes.append(line)

    monkeypatch.setenv("CXX", "/nowhere/no-compiler")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nowhere/no-compiler",))
    torch.compiler.reset()
    plan = small_plan(dataset, steps=3).with_(compile=True)
    torch.manual_seed(plan.seed)
    model = build(plan.config(dataset.vocab_size))
    run_clock = RunClock(time.monotonic())
    with torch._inductor.utils.fresh_inductor_cache():
        records = list(Loop(plan, model, NextToken(plan, dataset), watcher=Notes(), clock=run_clock).run())
    _, eager = trained(small_plan(dataset, steps=3), dataset)
    assert len(notes) == 1 and notes[0].startswith("torch.compile does not work here (")
    assert records[-1].val_loss == eager[-1].val_loss


def test_utilisation_is_reported_where_the_peak_of_the_device_is_known(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.training.loop.peak_of", lambda device, dtype: 1e12)
    plan = small_plan(dataset, steps=8)
    model = build(plan.config(dataset.vocab_size))
    loop = Loop(plan, model, NextToken(plan, dataset), watcher=Watcher(), clock=RunClock(time.monotonic()))
    assert loop.mfu() == 0.0  # nothing is timed
    for _ in loop.run():
        pass
    rate = loop.clock.tokens_per_second(plan)
    assert loop.mfu() == pytest.approx(rate * model.config.flops_per_token(training=True) / 1e12)
    model.token_embedding.weight.requires_grad_(False)
    frozen = Loop(plan, model, NextToken(plan, dataset), watcher=Watcher(), clock=loop.clock)
    assert frozen.mfu() == 0.0
