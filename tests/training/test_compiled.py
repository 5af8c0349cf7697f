"""When the compiled step takes over. Compiling itself is faked, but where a test says that it is not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.dataset.batches import Batches
from homespun.dataset.preparation import Dataset
from homespun.machine.device import compile_cache, compiler
from homespun.machine.jobs import GAVE_UP, Job
from homespun.model.gpt import build
from homespun.planning.plan import Plan
from homespun.training import compiled as compiled_module
from homespun.training.compiled import (
    Forward,
    compile_beside,
    compile_for_next_time,
    compiled_shapes,
    is_warm,
    remember,
)
from homespun.training.watcher import Watcher
from tests.training.conftest import small_plan


class Notes(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


class Beside:
    """A process that compiles, as the test wants it to be."""

    returncode: int | None = None
    killed = False

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.killed = True

    def wait(self) -> None: ...


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Beside:
    process = Beside()
    monkeypatch.setattr(compiled_module, "compile_beside", lambda plan, vocab_size, threads: process)
    monkeypatch.setattr(compiled_module, "is_warm", lambda plan, vocab_size: False)
    monkeypatch.setattr(compiled_module, "remember", lambda plan, vocab_size: None)
    monkeypatch.setattr(torch, "compile", lambda model, **how: lambda *batch: model(*batch))
    return process


def forward_of(plan: Plan, dataset: Dataset, notes: Watcher | None = None) -> Forward:
    model = build(plan.config(dataset.vocab_size))
    example = Batches(dataset.train.ids, plan.batch_size, plan.context_length, plan.seed)[0]
    return Forward(model, dataset.vocab_size, example, autocast=contextlib.nullcontext, watcher=notes or Watcher())


def test_training_begins_without_it_and_the_plan_keeps_the_step_at_which_it_took_over(
    beside: Beside, dataset: Dataset
) -> None:
    plan = small_plan(dataset, compile=True).with_(minutes=3.0)
    forward = forward_of(plan, dataset)
    for step in range(5):
        assert forward.prepare(plan, step) == plan and not forward.is_compiled
    beside.returncode = 0
    plan = forward.prepare(plan, 5)
    assert plan.compile_from == 5 and forward.is_compiled
    assert forward.prepare(plan, 6) == plan


def test_what_compiles_has_a_core_for_itself_and_a_replay_counts_with_as_few(
    beside: Beside, dataset: Dataset
) -> None:
    plan = small_plan(dataset, compile=True)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for waiting in (plan.with_(minutes=3.0), plan.with_(compile_from=1)):
            beside.returncode = None
            with forward_of(plan, dataset) as forward:
                forward.prepare(waiting, 0)
                assert torch.get_num_threads() == 2
                beside.returncode = 0
                forward.prepare(waiting, 1)
                assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_replay_takes_over_at_the_same_step(beside: Beside, dataset: Dataset) -> None:
    plan = small_plan(dataset, compile=True).with_(compile_from=4)
    forward = forward_of(plan, dataset)
    took_over = [forward.prepare(plan, step) == plan and forward.is_compiled for step in range(6)]
    assert took_over == [False] * 4 + [True] * 2


def test_with_steps_it_is_there_from_the_first_one(beside: Beside, dataset: Dataset) -> None:
    plan = small_plan(dataset, compile=True)
    forward = forward_of(plan, dataset)
    assert forward.prepare(plan, 0) == plan and forward.is_compiled


def test_a_compiler_that_fails_beside_is_told_once_and_not_asked_again(beside: Beside, dataset: Dataset) -> None:
    notes = Notes()
    plan = small_plan(dataset, compile=True).with_(minutes=3.0)
    forward = forward_of(plan, dataset, notes)
    forward.prepare(plan, 0)
    beside.returncode = 1
    plan = forward.prepare(plan, 3)
    assert not plan.compile and forward.prepare(plan, 4) == plan
    assert notes.lines[-1] == "torch.compile does not work here; training goes on without it."


def test_what_compiles_beside_ends_with_the_run_that_is_interrupted(beside: Beside, dataset: Dataset) -> None:
    plan = small_plan(dataset, compile=True).with_(minutes=3.0)
    with pytest.raises(KeyboardInterrupt), forward_of(plan, dataset) as forward:
        forward.prepare(plan, 0)
        raise KeyboardInterrupt
    assert beside.killed


def test_what_a_run_has_not_finished_compiling_is_left_to_the_background(
    beside: Beside, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[Plan] = []
    monkeypatch.setattr(compiled_module, "compile_for_next_time", lambda plan, vocab_size: later.append(plan))
    plan = small_plan(dataset, compile=True).with_(minutes=3.0)
    with forward_of(plan, dataset) as forward:
        forward.prepare(plan, 0)
    assert beside.killed and later == [plan]


def test_a_compiler_that_did_not_get_its_turn_is_not_said_to_fail(beside: Beside, dataset: Dataset) -> None:
    notes = Notes()
    plan = small_plan(dataset, compile=True).with_(minutes=3.0)
    forward = forward_of(plan, dataset, notes)
    forward.prepare(plan, 0)
    beside.returncode = GAVE_UP
    assert not forward.prepare(plan, 3).compile
    assert notes.lines[-1] == "torch.compile took too long; training goes on without it."


def test_what_a_run_waits_for_ends_with_it_and_what_is_for_later_is_a_heavy_job_with_a_purpose(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[Job] = []
    monkeypatch.setattr(compiled_module, "start", started.append)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plan = small_plan(dataset, compile=True)
    compile_beside(plan, dataset.vocab_size, 2)
    compile_for_next_time(plan, dataset.vocab_size, tmp_path / "plan.toml")
    urgent, later = started
    assert urgent.urgent and not urgent.heavy and not urgent.purpose
    assert later.heavy and not later.urgent and later.purpose == str(tmp_path / "plan.toml")
    assert urgent.kind == later.kind and urgent.done == later.done
    remember(plan, dataset.vocab_size)
    assert Path(later.done).exists()


@pytest.mark.skipif(compiler() is None, reason="nothing compiles here")
def test_the_process_beside_really_compiles_and_the_run_finds_it_and_both_ways_learn_the_same(
    dataset: Dataset, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    plan = small_plan(dataset, compile=True, n_layer=1).with_(minutes=3.0)
    process = compile_beside(plan, dataset.vocab_size, torch.get_num_threads())
    assert process.wait() == 0
    assert is_warm(plan, dataset.vocab_size)
    assert compiled_shapes("cpu", plan.dtype, "modern", dataset.vocab_size) == {(1, 2, 32, 16, 8, 0.0)}
    assert not compiled_shapes("cpu", plan.dtype, "modern", 7)
    forward = forward_of(plan, dataset)
    forward.beside = process
    assert forward.prepare(plan, 3).compile_from == 3
    x, y = forward.example
    plain, quick = forward.model(x, y)[1], forward(x, y)[1]
    assert plain.item() == pytest.approx(quick.item(), abs=1e-4)


def test_what_is_for_the_next_time_is_compiled_once_and_gives_way_to_all_else(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[dict[str, Any]] = []
    monkeypatch.setattr(compiled_module, "compile_beside", lambda plan, *sizes, **how: begun.append(how))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plan = small_plan(dataset, compile=True).with_(minutes=1.0)
    compile_for_next_time(plan, dataset.vocab_size)
    assert begun == [{"patient": True, "purpose": None}]
    remember(plan, dataset.vocab_size)
    compile_for_next_time(plan, dataset.vocab_size)
    assert len(begun) == 1


def test_the_process_beside_says_by_its_exit_code_that_it_failed() -> None:
    nonsense = subprocess.run(
        [sys.executable, "-m", "homespun.training.compile_beside"], input=b"{}", capture_output=True
    )
    assert nonsense.returncode != 0


def test_compiled_code_goes_where_pytorch_would_put_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    assert str(compile_cache()) == default_cache_dir() == os.environ["TORCHINDUCTOR_CACHE_DIR"]
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    assert str(compile_cache()) == "/elsewhere"


def test_a_user_without_a_name_has_a_place_for_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setattr("getpass.getuser", nameless)
    assert compile_cache().name.startswith("torchinductor_")
