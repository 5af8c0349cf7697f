"""What a run learns does not depend on how many processes compute it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from homespun.dataset.preparation import Dataset
from homespun.model.gpt import build
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.clock import RunClock
from homespun.training.loop import Loop
from homespun.training.objective import NextToken
from homespun.training.recipe import Pretraining
from homespun.training.run import Run
from homespun.training.watcher import Watcher
from homespun.training.world import OneProcess, World, rows_of_rank
from tests.distributed.group import in_processes
from tests.training.conftest import small_plan
from tests.training.hooked import Hook, Hooked

NEARLY = 1e-4  # nats


def loop_of(
    plan: Plan, dataset: Dataset, world: World | None = None, hook: Hook | None = None, **more: Any
) -> Loop[Plan]:
    torch.manual_seed(plan.seed)
    model = build(plan.config(dataset.vocab_size))
    objective = Hooked(plan, dataset, hook) if hook else NextToken(plan, dataset)
    return Loop(plan, model, objective, watcher=Watcher(), clock=RunClock(time.monotonic()), world=world, **more)


def losses_of(loop: Loop[Plan]) -> list[float]:
    """Of the training steps and of the evaluations, in the order in which they come."""
    losses: list[float] = []
    for record in loop.run():
        losses += [record.val_loss, record.train_loss or 0.0]
    return losses


def weights_of(loop: Loop[Plan]) -> list[float]:
    return [weight.double().sum().item() for weight in loop.optimizers.named.values()]


def assert_same_run(found: Sequence[Any], alone: list[float], nearly: float = NEARLY) -> None:
    assert not [one["error"] for one in found if "error" in one]
    for one in found:
        assert one == found[0], "all ranks have the same losses and the same weights"
        assert one["losses"] == pytest.approx(alone, abs=nearly)


PLANS: list[dict[str, Any]] = [
    {"optimizer": "muon", "dropout": 0.2},
    {"optimizer": "adamw", "dropout": 0.2, "batch_size": 7},
    {"model": "gpt2", "optimizer": "muon", "dropout": 0.2, "batch_size": 6, "micro_batches": 2},
]


def test_two_processes_do_what_one_does(dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=4, dropout=0.2, batch_size=5)
    alone = losses_of(loop_of(plan, dataset))

    def work(world: World) -> dict[str, Any]:
        loop = loop_of(plan, dataset, world)
        return {"losses": losses_of(loop), "weights": weights_of(loop)}

    assert_same_run(in_processes(2, work), alone)


@pytest.mark.processes
@pytest.mark.parametrize("size", [2, 4])
def test_a_run_is_the_same_on_several_processes(size: int, dataset: Dataset) -> None:
    plans = [small_plan(dataset, steps=20, evaluate_every=10, **settings) for settings in PLANS]
    alone = [losses_of(loop_of(plan, dataset)) for plan in plans]

    def work(world: World) -> list[dict[str, Any]]:
        world.share_cores()
        found = []
        for plan in plans:
            loop = loop_of(plan, dataset, world)
            found.append({"losses": losses_of(loop), "weights": weights_of(loop)})
        return found

    found = in_processes(size, work)
    assert not [one["error"] for one in found if "error" in one]
    for number, losses in enumerate(alone):
        assert_same_run([one[number] for one in found], losses)


@pytest.mark.processes
def test_gradients_in_bfloat16_lead_nearly_to_the_same_losses(dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=20, gradient_dtype="bfloat16")
    alone = losses_of(loop_of(plan, dataset))

    def work(world: World) -> dict[str, Any]:
        loop = loop_of(plan, dataset, world)
        return {"losses": losses_of(loop), "weights": weights_of(loop)}

    found = in_processes(2, work)
    assert_same_run(found, alone, nearly=0.05)
    assert max(abs(one - other) for one, other in zip(found[0]["losses"], alone, strict=True)) > 1e-6, "it rounds"


@pytest.mark.processes
def test_memory_that_runs_out_on_one_process_means_more_micro_batches_on_all(dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=4, dropout=0.0)
    alone = losses_of(loop_of(plan, dataset))

    def work(world: World) -> dict[str, Any]:
        def memory_for_two(step: int, forward: Any, micro_batch: tuple[Tensor, ...]) -> Any:
            if world.rank == 1 and len(micro_batch[0]) > 2:
                raise RuntimeError("CUDA out of memory.")
            return forward(*micro_batch)

        loop = loop_of(plan, dataset, world, memory_for_two)
        return {"losses": losses_of(loop), "weights": weights_of(loop), "parts": loop.plan.micro_batches}

    found = in_processes(2, work)
    assert_same_run(found, alone)
    assert found[0]["parts"] == 2


@pytest.mark.processes
def test_a_signal_to_one_process_stops_all_at_the_same_step(dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=20)

    def work(world: World) -> int:
        loop: Loop[Plan] = loop_of(plan, dataset, world, stop_asked=lambda: world.rank == 1 and loop.step == 7)
        losses_of(loop)
        return loop.step

    assert in_processes(2, work) == [7, 7]


@pytest.mark.processes
def test_who_has_another_text_is_named(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    plan = small_plan(dataset, steps=4)

    def work(world: World) -> None:
        run_in(world, plan.with_(text_key="other" if world.rank == 1 else "same"), dataset, tokenizer, tmp_path)

    for said in in_processes(2, work):
        assert said["kind"] == "TrainingError" and "Rank 1" in said["said"] and "another text" in said["said"]
    assert not (tmp_path / "run").exists()


def run_in(world: World, plan: Plan, dataset: Dataset, tokenizer: Tokenizer, folder: Path, **more: Any) -> Any:
    more = {"watcher": Watcher(), "sample": lambda model: "A cat.", "started": time.monotonic(), **more}
    return Run(plan, Pretraining(dataset, tokenizer, "a book"), folder / "run", world=world, **more).train()


@pytest.mark.parametrize("number", [0, 1, 3, 8, 100])
def test_the_rows_of_all_ranks_are_all_rows_once(number: int) -> None:
    for size in (1, 2, 3, 8):
        rows = [row for rank in range(size) for row in range(number)[rows_of_rank(number, rank, size)]]
        assert rows == list(range(number))
    assert OneProcess().rows(number) == slice(0, number)
