"""When the compiled step takes over. Compiling itself is faked, but where a test says that it is not."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.dataset.batches import Batches
from homespun.dataset.preparation import Dataset
from homespun.kernels.float32 import operations
from homespun.machine.device import compile_cache, compiler
from homespun.machine.jobs import GAVE_UP, Job
from homespun.model.gpt import build
from homespun.planning.base_plan import NOT_YET
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training import clock as clock_module
from homespun.training import compiled as compiled_module
from homespun.training.clock import RunClock
from homespun.training.compiled import (
    CompiledForward,
    compile_beside,
    compile_for_next_time,
    compiled_shapes,
    is_warm,
    remember,
    seconds_to_load,
)
from homespun.training.extension import extended_plan
from homespun.training.loop import Loop
from homespun.training.watcher import Progress, Record, Watcher
from tests.training.conftest import small_plan
from tests.training.hooked import Hooked
from tests.training.test_run import run_of


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Notes(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


class Beside:
    """A process that compiles, as the test wants it to be."""

    returncode: int | None = None
    killed = False

    def __init__(self, says: bytes = b"0.5\n") -> None:
        self.stdout = io.BytesIO(says)

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.killed = True

    def wait(self) -> None: ...


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Beside:
    process = Beside()
    monkeypatch.setattr(compiled_module, "compile_beside", lambda plan, vocab_size, threads, **how: process)
    monkeypatch.setattr(compiled_module, "is_warm", lambda plan, vocab_size: False)
    monkeypatch.setattr(compiled_module, "remember", lambda plan, vocab_size: None)
    monkeypatch.setattr(compiled_module, "import_compiler", lambda: None)
    monkeypatch.setattr(torch, "compile", lambda model, **how: lambda *batch: model(*batch))
    return process


def forward_of(plan: Plan, dataset: Dataset, notes: Watcher | None = None) -> CompiledForward:
    model = build(plan.config(dataset.vocab_size))
    example = Batches(dataset.train.ids, plan.batch_size, plan.context_length, plan.seed)[0]
    return CompiledForward(
        model, dataset.vocab_size, example, autocast=contextlib.nullcontext, watcher=notes or Watcher()
    )


def test_training_begins_without_it_and_the_plan_keeps_the_step_at_which_it_took_over(
    beside: Beside, dataset: Dataset
) -> None:
    plan = small_plan(dataset, compile=True).with_(minutes=3.0)
    forward = forward_of(plan, dataset)
    for step in range(5):
        plan = forward.prepare(plan, step)
        assert plan.compile_from == NOT_YET and not forward.is_compiled
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
            beside.returncode, beside.stdout = None, io.BytesIO(b"0.5\n")
            with forward_of(plan, dataset) as forward:
                waiting = forward.prepare(waiting, 0)
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
    plan = forward.prepare(plan, 0)
    beside.returncode = 1
    plan = forward.prepare(plan, 3)
    assert not plan.compile and forward.prepare(plan, 4) == plan
    assert notes.lines[-1] == "torch.compile does not work here; training goes on without it."


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_what_was_compiled_before_is_not_waited_for_either(
    beside: Beside, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_module, "is_warm", lambda plan, vocab_size: True)
    monkeypatch.setattr(torch, "compile", lambda *model, **how: pytest.fail("this may take minutes"))
    plan = small_plan(dataset, compile=True).with_(minutes=1.0)
    forward = forward_of(plan, dataset)
    for step in range(5):
        plan = forward.prepare(plan, step, 50.0)
    assert plan.compile_from == NOT_YET and not forward.is_compiled


@pytest.mark.parametrize(("left", "taken"), [(200.0, True), (60.0, False), (-5.0, False)])
def test_what_takes_longer_to_load_than_is_worth_it_is_left(
    left: float, taken: bool, threads: int, beside: Beside, dataset: Dataset
) -> None:
    notes = Notes()
    beside.stdout = io.BytesIO(b"21.5\n")
    plan = small_plan(dataset, compile=True).with_(minutes=5.0)
    with forward_of(plan, dataset, notes) as forward:
        plan = forward.prepare(plan, 0, 300.0)
        beside.returncode = 0
        plan = forward.prepare(plan, 9, left)
        assert (plan.compile, plan.compile_from, forward.is_compiled) == (taken, 9, taken)
        assert torch.get_num_threads() == threads
        assert taken or notes.lines[-1].startswith("loading the compiled step takes 22 s here")
        assert forward.prepare(plan, 10, left) == plan


def test_a_machine_that_has_become_busy_meanwhile_is_noticed_before_the_most_is_waited(
    beside: Beside, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(compiled_module, "time", clock)
    monkeypatch.setattr(compiled_module, "import_compiler", lambda: clock.sleep(10.0))
    monkeypatch.setattr(torch, "compile", lambda *model, **how: pytest.fail("this takes longer still"))
    plan = small_plan(dataset, compile=True).with_(minutes=1.0)
    forward = forward_of(plan, dataset)
    plan = forward.prepare(plan, 0, 50.0)
    beside.returncode = 0
    plan = forward.prepare(plan, 4, 45.0)
    assert (plan.compile, plan.compile_from) == (False, 4)


def test_a_run_that_goes_on_before_the_change_still_looks_out_for_it_and_one_after_it_makes_it_at_once(
    beside: Beside, dataset: Dataset
) -> None:
    plan = small_plan(dataset, compile=True).with_(minutes=3.0, compile_from=NOT_YET)
    forward = forward_of(plan, dataset)
    assert forward.prepare(plan, 7, 100.0) == plan and forward.beside is not None
    plan = plan.with_(compile_from=7)
    forward = forward_of(plan, dataset)
    assert forward.prepare(plan, 9, 100.0) == plan and forward.is_compiled and forward.beside is None


def test_a_replay_of_a_run_that_never_changed_over_does_not_either(
    threads: int, beside: Beside, dataset: Dataset
) -> None:
    for end, fewer in ((NOT_YET, [2] * 6), (4, [2] * 4 + [3] * 2)):
        plan = small_plan(dataset, compile=end == NOT_YET).with_(compile_from=end)
        with forward_of(plan, dataset) as forward:
            used = []
            for step in range(6):
                assert forward.prepare(plan, step) == plan and not forward.is_compiled
                used.append(torch.get_num_threads())
        assert used == fewer


CLOCK = Clock()


def busy(step: int, forward: Any, micro_batch: Any) -> Any:
    """A machine on which a step takes half a second of the test's clock."""
    CLOCK.sleep(0.5)
    return forward(*micro_batch)


class ReadyAfter(Watcher):
    """The process beside comes to its end after so many steps."""

    def __init__(self, beside: Beside, steps: int) -> None:
        self.beside, self.steps = beside, steps

    def stepped(self, progress: Progress) -> None:
        self.beside.returncode = 0 if progress.step >= self.steps else None


def trained(plan: Plan, dataset: Dataset, watcher: Watcher) -> tuple[Loop[Plan], list[Record]]:
    torch.manual_seed(plan.seed)
    model = build(plan.config(dataset.vocab_size))
    objective = Hooked(plan, dataset, busy)
    loop = Loop(plan, model, objective, watcher=watcher, clock=RunClock(CLOCK.now - 5.0))
    return loop, list(loop.run())


@pytest.mark.parametrize(("ready_after", "loading"), [(10**6, b""), (20, b"4.0\n"), (20, b"40.0\n")])
def test_a_run_of_a_minute_beside_other_work_learns_ends_on_time_and_is_replayed_to_the_bit(
    ready_after: int,
    loading: bytes,
    threads: int,
    beside: Beside,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "time", CLOCK)
    monkeypatch.setattr(compiled_module, "is_warm", lambda plan, vocab_size: True)

    def slow(model: Any, **how: Any) -> Any:
        CLOCK.sleep(float(loading or 150.0))
        return lambda *batch: model(*batch)

    monkeypatch.setattr(torch, "compile", slow)
    beside.stdout = io.BytesIO(loading)
    plan = small_plan(dataset, compile=True, steps=400, learning_rate=3e-3).with_(minutes=1.0)
    loop, records = trained(plan, dataset, ReadyAfter(beside, ready_after))
    assert loop.clock.seconds() < 61
    assert loop.step > 80 and records[-1].val_loss < records[0].val_loss - 0.3
    taken = loading == b"4.0\n"
    assert loop.is_compiled == taken
    assert loop.plan.compile_from == (20 if loading else NOT_YET)
    replay = loop.plan.with_(minutes=0.0)
    again, same = trained(replay, dataset, Watcher())
    assert [record.val_loss for record in records] == [record.val_loss for record in same]
    assert again.is_compiled == taken and again.plan == replay


def test_a_run_that_never_changed_over_does_so_where_it_is_carried_on_by_steps(
    beside: Beside, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plan = small_plan(dataset, compile=True, steps=6).with_(minutes=60.0)
    run_of(dataset, tokenizer, tmp_path / "run", plan).train()
    plan = Plan.load(tmp_path / "run" / "plan.toml")
    assert plan.compile_from == NOT_YET
    assert extended_plan(tmp_path / "run", plan, minutes=None, steps=4).compile_from == 6
    assert extended_plan(tmp_path / "run", plan, minutes=1.0, steps=None).compile_from == NOT_YET


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
    plan = forward.prepare(plan, 0)
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
    assert urgent.kind == later.kind and not urgent.done  # who waits is told how long loading takes
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
    assert (seconds_to_load(process) or 0.0) > 0.0
    assert is_warm(plan, dataset.vocab_size)
    assert compiled_shapes("cpu", plan.dtype, "modern", dataset.vocab_size) == {(1, 2, 32, 16, 8, 0.0)}
    assert not compiled_shapes("cpu", plan.dtype, "modern", 7)
    notes = Notes()
    forward = forward_of(plan, dataset, notes)
    assert forward.prepare(plan.with_(compile_from=3), 3).compile_from == 3, notes.lines
    assert forward.is_compiled, notes.lines
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


def test_a_plan_with_native_kernels_computes_with_them_and_compiles_nothing(
    beside: Beside, dataset: Dataset
) -> None:
    if not operations.available():
        pytest.skip("there is no compiler here, or no processor of that kind")
    for kernels in (True, False):
        plan = small_plan(dataset, kernels=kernels)
        forward = forward_of(plan, dataset)
        assert forward.prepare(plan, 0) == plan == forward.prepare(plan, 1)
        assert forward.uses_native_kernels is kernels and not forward.is_compiled
        assert (forward.compute is forward.model) is not kernels


def test_where_the_kernels_of_a_plan_are_missing_it_goes_on_without_and_says_so(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_module, "with_step_kernels", lambda model, *others: model)
    notes, plan = Notes(), small_plan(dataset, kernels=True)
    forward = forward_of(plan, dataset, notes)
    assert forward.prepare(plan, 0) == plan.with_(kernels=False)
    assert "native kernels cannot be used here" in notes.lines[0] and not forward.uses_native_kernels


def test_a_plan_of_a_version_without_native_kernels_runs_as_it_did(dataset: Dataset) -> None:
    lines = small_plan(dataset).toml().splitlines()
    older = "\n".join(line for line in lines if not line.startswith("kernels = "))
    assert older != "\n".join(lines) and not Plan.parse(older, "plan.toml").kernels
