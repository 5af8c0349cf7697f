"""Nothing is lost: what was interrupted goes on, to the bit."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import homespun
from homespun.checkpoint.tensors import read_tensors, write_tensors
from homespun.dataset.preparation import Dataset
from homespun.errors import CheckpointError, TextError, TrainingError, UsageError, WriteFailed
from homespun.fetch.cache import sha256_of
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.lock import held
from homespun.training.recipe import Pretraining
from homespun.training.resume import POINT, STATE, folders, newest_point
from homespun.training.run import Run
from homespun.training.watcher import Progress, Record, Result, Watcher
from tests.patience import PATIENCE
from tests.planning.test_plan import in_format_1
from tests.training.conftest import small_plan
from tests.training.hooked import HookedPretraining
from tests.training.test_run import run_of

SAME = ("model.safetensors", "plan.toml", "config.json", "tokenizer.json")


def stopped_at(step: int, run: Run[Plan, Result]) -> Run[Plan, Result]:
    """That run, with somebody at the keyboard who presses Ctrl-C after `step` steps."""

    class Impatient(Watcher):
        def evaluated(self, record: Record, best: bool) -> None:
            run.stop.asked |= record.step == step == 0

        def stepped(self, progress: Progress) -> None:
            run.stop.asked |= progress.step == step

    run.watcher = Impatient()
    return run


def losses_of(run: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["train_loss"], line["val_loss"]) for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    for run in (one, other):
        plan = Plan.load(run / "plan.toml")
        assert losses_of(run)[-1][0] == plan.steps, f"{run.name} was stopped, by a signal from outside the test"
    for name in SAME:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert losses_of(one) == losses_of(other)


@pytest.mark.parametrize("model", ["modern", "lecture", "bigram"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_resume_continues_to_the_bit(
    model: str, optimizer: str, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plan = small_plan(dataset, model=model, optimizer=optimizer, dropout=0.1, evaluate_every=10)
    whole = run_of(dataset, tokenizer, tmp_path / "whole", plan).train()
    for step in (
        0,
        3,
        10,
        17,
        39,
    ):  # before the first step, within the warmup, on an evaluation, after one, just before the end
        out = tmp_path / f"stopped-{step}"
        stopped = stopped_at(step, run_of(dataset, tokenizer, out, plan)).train()
        assert stopped.interrupted and stopped.steps == step
        torch.rand(3)  # a process of its own has other dice
        again = run_of(dataset, tokenizer, out, plan, resume=True).train()
        assert not again.interrupted
        assert_same_run(tmp_path / "whole", out)
        assert (again.val_loss, again.best_step) == (whole.val_loss, whole.best_step)


def test_a_run_can_be_stopped_again_and_again(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    plan = small_plan(dataset, evaluate_every=10)
    run_of(dataset, tokenizer, tmp_path / "whole", plan).train()
    stopped_at(4, run_of(dataset, tokenizer, tmp_path / "run", plan)).train()
    for step in (5, 6, 20, 21, 38):
        stopped_at(step, run_of(dataset, tokenizer, tmp_path / "run", plan, resume=True)).train()
    run_of(dataset, tokenizer, tmp_path / "run", plan, resume=True).train()
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_weights_that_were_best_only_at_the_interruption_are_not_those_of_the_run_that_goes_on(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    # The loss goes down and up again, so that the evaluation at the interruption is the best of all.
    plan = small_plan(dataset, steps=40, optimizer="adamw", learning_rate=0.1, decay=0, clip=0, evaluate_every=20)
    run_of(dataset, tokenizer, tmp_path / "whole", plan).train()
    for step in range(1, 8):
        out = tmp_path / f"run-{step}"
        stopped_at(step, run_of(dataset, tokenizer, out, plan)).train()
        run_of(dataset, tokenizer, out, plan, resume=True).train()
        assert_same_run(tmp_path / "whole", out)


def test_a_finished_run_that_is_resumed_says_what_it_came_to(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    first = run_of(dataset, tokenizer, tmp_path / "run").train()
    before = {path: path.read_bytes() for name in SAME if (path := tmp_path / "run" / name)}
    again = run_of(dataset, tokenizer, tmp_path / "run", resume=True).train()
    assert (again.steps, again.val_loss, again.interrupted) == (first.steps, first.val_loss, False)
    assert {path: path.read_bytes() for path in before} == before


def test_only_the_two_newest_points_are_kept(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMESPUN_RESUME_SECONDS", "0")
    monkeypatch.setattr("homespun.training.resume.LARGEST_SHARE", 1e9)
    run_of(dataset, tokenizer, tmp_path / "run").train()
    assert [folder.name for folder in folders(tmp_path / "run")] == ["step-000000040", "step-000000039"]
    assert {path.name for path in (tmp_path / "run" / "resume").iterdir()} <= {
        "step-000000040",
        "step-000000039",
        "lock",
    }


@pytest.fixture
def points(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped at step 20, with points at 19 and 20."""
    monkeypatch.setenv("HOMESPUN_RESUME_SECONDS", "0")
    monkeypatch.setattr("homespun.training.resume.LARGEST_SHARE", 1e9)
    stopped_at(20, run_of(dataset, tokenizer, tmp_path / "run")).train()
    return tmp_path / "run"


@pytest.mark.parametrize("file", [STATE, POINT, "best.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "gone"])
def test_a_damaged_point_is_passed_over_for_the_one_before(
    file: str, damage: str, points: Path, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = folders(points)[0] / file
    content = path.read_bytes()
    path.unlink()  # the best weights are a link: what is written into it must not go into its twins
    damaged = {"cut": content[: len(content) // 2], "changed": content[:-9] + b"\x01" + content[-8:], "empty": b""}
    if damage != "gone":
        path.write_bytes(damaged[damage])
    found = newest_point(points, Plan)
    assert found is not None and found[0].step == 19
    run_of(dataset, tokenizer, points, resume=True).train()
    run_of(dataset, tokenizer, tmp_path / "whole").train()
    assert_same_run(points, tmp_path / "whole")


def test_where_no_point_is_whole_the_run_is_not_begun_again_in_silence(
    points: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    for folder in folders(points):
        (folder / STATE).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError) as error:
        run_of(dataset, tokenizer, points, resume=True).train()
    assert f"No resume point of {points} is whole." in error.value.what
    assert "choose another --out" in error.value.todo


def hold(run: Path, seconds: float) -> None:
    with held(run):
        time.sleep(seconds)


def test_a_second_run_in_the_folder_is_refused_and_told_who_holds_it(
    points: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    other = multiprocessing.get_context("spawn").Process(target=hold, args=(points, PATIENCE))
    other.start()
    try:
        while not (points / "resume" / "holder.json").exists():
            time.sleep(0.05)
        with pytest.raises(WriteFailed) as error:
            run_of(dataset, tokenizer, points, resume=True).train()
        assert f"by another process (process {other.pid} on " in error.value.what
    finally:
        other.kill()
        other.join()
    # Killed, it has left its mark behind; but the lock went with it.
    assert (points / "resume" / "holder.json").exists()
    assert not run_of(dataset, tokenizer, points, resume=True).train().interrupted


def test_a_second_interruption_leaves_at_once_and_says_how_the_run_goes_on(
    points: Path, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    notes: list[str] = []

    class Hasty(Watcher):
        def note(self, line: str) -> None:
            notes.append(line)

        def stepped(self, progress: Progress) -> None:
            if progress.step == 25:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_of(dataset, tokenizer, points, resume=True, watcher=Hasty()).train()
    assert notes[-1].endswith(f"homespun train --out {points} --resume")
    run_of(dataset, tokenizer, points, resume=True).train()
    run_of(dataset, tokenizer, tmp_path / "whole").train()
    assert_same_run(points, tmp_path / "whole")


def faulty(dataset: Dataset, tokenizer: Tokenizer, times: int) -> Pretraining:
    """A recipe whose loss is not a number at step 25, so many times."""
    left = [times]

    def hook(step: int, forward: Any, micro_batch: Any) -> Any:
        logits, loss = forward(*micro_batch)
        if step == 25 and left[0] > 0:
            left[0] -= 1
            loss = loss * float("nan")
        return logits, loss

    return HookedPretraining(dataset, tokenizer, "a small book", hook)


def test_a_run_that_runs_away_goes_back_once_and_on_more_gently(
    points: Path, dataset: Dataset, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMESPUN_RESUME_SECONDS", "1000")
    recipe = faulty(dataset, tokenizer, times=1)
    notes: list[str] = []

    class Notes(Watcher):
        def note(self, line: str) -> None:
            notes.append(line)

    result = run_of(dataset, tokenizer, points, recipe=recipe, resume=True, watcher=Notes()).train()
    assert result.steps == 40 and not result.interrupted
    assert any("Back at step 20, with 0.3 of the learning rate." in line for line in notes)
    assert Plan.load(points / "plan.toml").lr_backoff_from == 21
    lines = [json.loads(line) for line in (points / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 10, 20, 30, 40]
    assert lines[3]["lr"] < 0.35 * lines[2]["lr"]


def as_format_2(point: Path) -> None:
    """Rewrites a resume point as the version before this one wrote it."""
    state = {
        name.replace("rng.", "dice.") if name.startswith("rng.") else name: tensor
        for name, tensor in read_tensors(point / STATE).items()
    }
    write_tensors(point / STATE, state)
    content = json.loads((point / POINT).read_text())
    content |= {"format": 2, "plan": in_format_1(content["plan"])}
    content["sha256"][STATE] = sha256_of(point / STATE)
    (point / POINT).write_text(json.dumps(content))


def test_a_run_that_an_earlier_version_left_goes_on_to_the_bit(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plan = small_plan(dataset, steps=20, dropout=0.2, evaluate_every=10)
    run_of(dataset, tokenizer, tmp_path / "whole", plan=plan).train()
    stopped_at(9, run_of(dataset, tokenizer, tmp_path / "cut", plan=plan)).train()
    for point in folders(tmp_path / "cut"):
        as_format_2(point)
    run_of(dataset, tokenizer, tmp_path / "cut", plan=plan, resume=True).train()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_run_that_runs_away_again_is_stopped_and_says_what_to_change(
    points: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    recipe = faulty(dataset, tokenizer, times=2)
    with pytest.raises(TrainingError) as error:
        run_of(dataset, tokenizer, points, recipe=recipe, resume=True).train()
    assert error.value.what.startswith("Training diverged at step 26: loss nan, gradient norm ")
    assert f"The best weights until then, of step 20, are in {points}." in error.value.what
    assert "--set learning_rate=" in error.value.todo


def memory_for_two(step: int, forward: Any, micro_batch: Any) -> Any:
    """A machine that has memory for two sequences at a time."""
    if len(micro_batch[0]) > 2:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
    return forward(*micro_batch)


def no_memory(step: int, forward: Any, micro_batch: Any) -> Any:
    raise RuntimeError("CUDA out of memory.")


def test_where_memory_does_not_suffice_the_batch_is_split_and_the_run_goes_on(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plain = run_of(dataset, tokenizer, tmp_path / "plain").train()
    recipe = HookedPretraining(dataset, tokenizer, "a small book", memory_for_two)
    split = run_of(dataset, tokenizer, tmp_path / "split", recipe=recipe).train()
    assert Plan.load(tmp_path / "split" / "plan.toml").micro_batches == 4
    assert split.steps == plain.steps and split.val_loss == pytest.approx(plain.val_loss, abs=2e-3)


def test_where_not_even_one_sequence_fits_it_says_so(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    recipe = HookedPretraining(dataset, tokenizer, "a small book", no_memory)
    with pytest.raises(TrainingError, match="not enough memory even for one sequence"):
        run_of(dataset, tokenizer, tmp_path / "run", recipe=recipe).train()


def test_a_folder_that_is_removed_while_the_run_goes_on_is_made_anew(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    notes: list[str] = []

    class Remover(Watcher):
        def stepped(self, progress: Progress) -> None:
            if progress.step == 15:
                shutil.rmtree(tmp_path / "run")

        def note(self, line: str) -> None:
            notes.append(line)

    result = run_of(dataset, tokenizer, tmp_path / "run", watcher=Remover()).train()
    assert notes == [f"{tmp_path / 'run'} was removed while the run went on; it is made anew"]
    assert result.steps == 40
    assert homespun.load(tmp_path / "run").generate("A", max_tokens=3).startswith("A")
    assert newest_point(tmp_path / "run", Plan) is not None


def test_a_disk_that_does_not_take_a_point_ends_the_run_and_says_how_it_goes_on(
    points: Path, dataset: Dataset, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*arguments: Any) -> None:
        raise WriteFailed("The disk is full.", "Make room on it.")

    with monkeypatch.context() as patch:
        patch.setattr("homespun.training.run.write_point", full)
        with pytest.raises(WriteFailed) as error:
            run_of(dataset, tokenizer, points, resume=True).train()
    told = f"The disk is full.\nMake room on it. The run then goes on with\nhomespun train --out {points} --resume"
    assert str(error.value) == told
    run_of(dataset, tokenizer, points, resume=True).train()
    run_of(dataset, tokenizer, tmp_path / "whole").train()
    assert_same_run(points, tmp_path / "whole")


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_changes_nothing(
    jump: float, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = time.time, []

    def jumping() -> float:
        calls.append(0)
        return real() + (jump if len(calls) % 2 else 0.0)

    monkeypatch.setattr(time, "time", jumping)
    monkeypatch.setenv("HOMESPUN_RESUME_SECONDS", "0")
    result = run_of(dataset, tokenizer, tmp_path / "run").train()
    assert result.steps == 40 and 0 <= result.seconds < 86_400


# The same through the public door.

SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16, "batch_size": 4, "compile": False}


def test_resume_starts_the_run_where_nothing_is_there_yet_and_then_goes_on(book: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = homespun.train(book, out=out, steps=5, settings=SMALL, resume=True, watcher=Watcher())
    assert run.result.steps == 5
    again = homespun.train(out=out, resume=True, watcher=Watcher())  # text and plan come from the run
    assert again.result.val_loss == run.result.val_loss
    same = homespun.train(book, out=out, steps=5, settings=SMALL, resume=True, watcher=Watcher())
    assert same.result.val_loss == run.result.val_loss


def test_what_is_given_again_and_differs_is_named(book: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    homespun.train(book, out=out, steps=2, settings=SMALL, watcher=Watcher())
    with pytest.raises(UsageError) as error:
        homespun.train(out=out, resume=True, model="gpt2", seed=7, settings={"n_layer": 2}, watcher=Watcher())
    for part in ("model is 'modern' there and 'gpt2' here", "seed is 1337 there and 7 here", "n_layer is 1 there"):
        assert part in error.value.what
    with pytest.raises(UsageError, match="text is "):
        homespun.train("shakespeare", out=out, resume=True, watcher=Watcher())


def test_a_run_goes_on_with_its_own_text_whatever_has_become_of_the_file(book: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "evaluate_every": 2}
    whole = homespun.train(book, out=tmp_path / "whole", steps=6, settings=settings, watcher=Watcher())
    homespun.train(book, out=tmp_path / "run", steps=6, settings=settings, watcher=Watcher())
    shutil.rmtree(tmp_path / "run" / "resume")  # as if it had been killed before its first point
    book.unlink()
    run = homespun.train(out=tmp_path / "run", resume=True, watcher=Watcher())
    assert run.result.val_loss == whole.result.val_loss


def test_a_text_that_has_changed_is_noticed_where_the_cache_has_the_old_one_no_more(
    book: Path, tmp_path: Path, own_cache: Path
) -> None:
    out = tmp_path / "run"
    homespun.train(book, out=out, steps=2, settings=SMALL, watcher=Watcher())
    shutil.rmtree(own_cache)
    book.write_text(book.read_text() + "One line more.\n")
    with pytest.raises(TextError, match="has changed since it was trained on"):
        homespun.train(out=out, resume=True, watcher=Watcher())


def test_resume_without_a_folder_asks_for_one(book: Path) -> None:
    with pytest.raises(UsageError, match="--resume goes on with a run, and no run was named"):
        homespun.train(book, resume=True, watcher=Watcher())


SCRIPT = """
import sys, homespun, torch
torch.set_num_threads(1)
text, out = sys.argv[1:]
small = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16, "batch_size": 4, "compile": False}
settings = {**small, "evaluate_every": 40}
from homespun.training.watcher import Watcher
homespun.train(text, out=out, steps=400, settings=settings, resume=True, watcher=Watcher())
"""


def test_killed_at_any_moment_it_goes_on_to_the_bit(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of `make torture`: kill -9 at random moments, most of them within a write."""
    monkeypatch.setenv("HOMESPUN_RESUME_SECONDS", "0.05")
    command = [sys.executable, "-c", SCRIPT, str(book)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, timeout=PATIENCE)
    random.seed(os.getpid())
    kills = 0
    for _ in range(40):
        process = subprocess.Popen([*command, str(tmp_path / "run")])
        if kills < 4:
            while not (tmp_path / "run" / "plan.toml").exists() and process.poll() is None:
                time.sleep(0.02)
            time.sleep(random.uniform(0.0, 2.5))
            process.send_signal(signal.SIGKILL)
            kills += 1
        if process.wait(PATIENCE) == 0:
            break
    assert process.returncode == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")
