"""What some processes have begun, any other number of processes continues."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from homespun.dataset.preparation import Dataset
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.recipe import Pretraining
from homespun.training.run import Run
from homespun.training.watcher import Progress, Watcher
from homespun.training.world import OneProcess, World
from tests.distributed.group import in_processes
from tests.training.conftest import small_plan

pytestmark = pytest.mark.processes

STOPS = {6: 1, 14: 2, 23: 3, 30: 1}  # the step at which a part of the run ends, and its number of processes


class StopsAt(Watcher):
    """Somebody who stops the run behind that step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.run: Run[Any, Any] | None = None

    def stepped(self, progress: Progress) -> None:
        assert self.run is not None
        self.run.stop.asked |= progress.step == self.step


def part_of_run(
    world: World, plan: Plan, dataset: Dataset, tokenizer: Tokenizer, out: Path, until: int
) -> dict[str, Any]:
    # On one rank only: all have to stop.
    watcher = StopsAt(until if world.rank == world.size - 1 else -1)
    run: Run[Plan, Any] = Run(
        plan,
        Pretraining(dataset, tokenizer, "a book"),
        out,
        watcher=watcher,
        sample=lambda model: "A cat sees.",
        started=time.monotonic(),
        resume=(out / "plan.toml").exists(),
        world=world,
    )
    watcher.run = run
    result = run.train()
    return {"steps": result.steps, "val_loss": result.val_loss}


def metrics(run: Path) -> list[list[float]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [[line["step"], line["val_loss"], line["train_loss"] or 0.0] for line in lines]


def in_turns(plan: Plan, dataset: Dataset, tokenizer: Tokenizer, folder: Path) -> None:
    """The run by 1, 2, 3 and 1 processes, one after the other, in the folder "parts", and by one in "whole"."""
    part_of_run(OneProcess(), plan, dataset, tokenizer, folder / "whole", -1)
    for until, size in STOPS.items():

        def work(world: World, until: int = until) -> dict[str, Any]:
            return part_of_run(world, plan, dataset, tokenizer, folder / "parts", until)

        found = in_processes(size, work) if size > 1 else [work(OneProcess())]
        assert not [one["error"] for one in found if "error" in one]
        assert found == [found[0]] * size and found[0]["steps"] == until


SETTINGS: list[dict[str, Any]] = [{"optimizer": "muon", "n_layer": 3}, {"optimizer": "adamw", "batch_size": 7}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_run_goes_on_with_any_number_of_processes(
    settings: dict[str, Any], dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plan = small_plan(dataset, steps=30, dropout=0.1, evaluate_every=10, **settings)
    in_turns(plan, dataset, tokenizer, tmp_path)
    whole, parts = metrics(tmp_path / "whole"), metrics(tmp_path / "parts")
    assert len(whole) == len(parts) == 4
    for one, other in zip(whole, parts, strict=True):
        assert other == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize("model", ["modern", "gpt2"])
def test_with_a_deterministic_reduction_it_goes_on_to_the_bit(
    model: str, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plan = small_plan(
        dataset, steps=30, model=model, dropout=0.1, evaluate_every=10, batch_size=9, deterministic_reduction=True
    )
    in_turns(plan, dataset, tokenizer, tmp_path)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
