from __future__ import annotations

import json
import os
import signal
import socket
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from homespun.dataset.preparation import Dataset
from homespun.errors import TrainingError
from homespun.machine.atomic import write_json
from homespun.planning.expected_curve import expected_curve
from homespun.planning.facts import Facts
from homespun.planning.forecast import forecast_of
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training import lock
from homespun.training.progress_log import ProgressLog
from homespun.training.watcher import Record, Watcher
from tests.training.conftest import small_plan
from tests.training.hooked import HookedPretraining
from tests.training.test_run import run_of


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_says_when_it_begins_how_far_it_is_and_how_it_ended(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    run_of(dataset, tokenizer, tmp_path / "run").train()
    first, *steps, last = lines_of(tmp_path / "run" / "progress.jsonl")
    assert (first["type"], first["step"], first["steps"], first["process"]) == ("begin", 0, 40, os.getpid())
    assert (last["type"], last["how"], last["step"]) == ("end", "finished", 40)
    assert [line["type"] for line in steps] == ["step"] * len(steps) and steps[-1]["step"] == 40
    assert all(0 < line["loss"] < 4 for line in steps)


def test_lines_are_rare_where_steps_are_fast(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    plan = small_plan(dataset, steps=200, n_layer=1, n_embd=8, batch_size=1)
    run_of(dataset, tokenizer, tmp_path / "run", plan).train()
    lines = [line for line in lines_of(tmp_path / "run" / "progress.jsonl") if line["type"] == "step"]
    seconds = lines[-1]["seconds"] - lines[0]["seconds"]
    assert 1 <= len(lines) <= 2 + seconds / 0.25


class StopsAt(Watcher):
    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, progress: Any) -> None:
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_is_stopped_and_resumed_says_both(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run_of(dataset, tokenizer, out, watcher=StopsAt(7)).train()
    assert lines_of(out / "progress.jsonl")[-1]["how"] == "stopped"
    with (out / "samples.jsonl").open("a") as file:
        file.write('{"step": 30, "text": "of a step that is not in the resume point"}\nno line\n')
    run_of(dataset, tokenizer, out, resume=True).train()
    begins = [line["step"] for line in lines_of(out / "progress.jsonl") if line["type"] == "begin"]
    assert begins == [0, 7]
    assert lines_of(out / "progress.jsonl")[-1]["how"] == "finished"
    assert "resume point" not in (out / "samples.jsonl").read_text()


def test_a_run_that_fails_says_why(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    def broken(step: int, forward: Any, batch: Any) -> Any:
        raise TrainingError("It broke.", "Mend it.")

    recipe = HookedPretraining(dataset, tokenizer, "a small book", broken)
    with pytest.raises(TrainingError):
        run_of(dataset, tokenizer, tmp_path / "run", recipe=recipe).train()
    last = lines_of(tmp_path / "run" / "progress.jsonl")[-1]
    assert (last["how"], last["text"]) == ("failed", "It broke.\nMend it.")


def test_a_run_that_diverges_twice_says_so(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    def exploding(step: int, forward: Any, batch: Any) -> Any:
        logits, loss = forward(*batch)
        return logits, loss * (float("nan") if step >= 2 else 1)

    recipe = HookedPretraining(dataset, tokenizer, "a small book", exploding)
    with pytest.raises(TrainingError, match="diverged"):
        run_of(dataset, tokenizer, tmp_path / "run", recipe=recipe).train()
    assert lines_of(tmp_path / "run" / "progress.jsonl")[-1]["how"] == "diverged"


def test_samples_are_kept_with_their_step(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    result = run_of(dataset, tokenizer, tmp_path / "run").train()
    (line,) = lines_of(tmp_path / "run" / "samples.jsonl")  # too short a run for others than the last
    assert (line["step"], line["text"], line["prompt"]) == (result.best_step, "A cat sees.", "")


def test_a_folder_that_is_gone_and_another_writer_stop_nothing(tmp_path: Path) -> None:
    log = ProgressLog(tmp_path / "gone", Watcher())
    with log.begun():
        log.note("nobody can read this")
    assert not (tmp_path / "gone").exists()
    second = ProgressLog(tmp_path, Watcher(), is_writer=False)
    with second.begun():
        second.keep_sample(Record(1, 1, 1.0, None, 1.0, 1.0, 1.0, 0.1, 1.0, 1), "a text")
    assert not list(tmp_path.glob("*.jsonl"))


# ---- the forecast of a run ----

COUNTED = {"ngram_losses": (3.3, 2.4, 1.9, 1.7), "static": 1.75, "cached": 1.7}


def test_the_expected_curve_falls_from_a_uniform_guess_to_the_forecast(dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=2000, context_length=128, batch_size=16, n_embd=128)
    facts = Facts(train_tokens=1_000_000, val_tokens=100_000, vocab_size=65, **COUNTED)  # type: ignore[arg-type]
    forecast = forecast_of(plan, facts)
    assert forecast.loss is not None
    losses = [point.expected.loss for point in forecast.curve]
    assert forecast.curve[0].step == 0 and losses[0] == pytest.approx(facts.uniform_loss)
    assert forecast.curve[-1].step == 2000 and losses[-1] == forecast.loss.loss
    assert all(before >= after for before, after in pairwise(losses))
    middle = next(point for point in forecast.curve if point.step >= 1000)
    ended = forecast_of(plan.with_(steps=middle.step), facts).loss
    assert ended is not None and 1.0 < middle.expected.loss / ended.loss < 1.08
    assert forecast.curve[5].tokens == forecast.curve[5].step * plan.tokens_per_step


def test_a_curve_of_small_steps_does_not_rise_before_the_law_holds(dataset: Dataset) -> None:
    facts = Facts(train_tokens=1_000_000, val_tokens=100_000, vocab_size=65, **COUNTED)  # type: ignore[arg-type]
    forecast = forecast_of(small_plan(dataset, steps=2000), facts)  # of 128 tokens each
    losses = [point.expected.loss for point in forecast.curve]
    assert forecast.loss is not None and losses[-1] == forecast.loss.loss
    assert all(before >= after for before, after in pairwise(losses))


def test_nothing_is_expected_without_baselines(dataset: Dataset) -> None:
    facts = Facts(train_tokens=1000, val_tokens=100, vocab_size=65)
    assert expected_curve(small_plan(dataset), facts) == ()


def test_the_forecast_of_a_run_is_in_its_folder(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    plan = small_plan(dataset, steps=3)
    facts = Facts(train_tokens=5000, val_tokens=500, vocab_size=dataset.vocab_size, **COUNTED)  # type: ignore[arg-type]
    forecast = forecast_of(plan, facts)
    run_of(dataset, tokenizer, tmp_path / "run", plan, forecast=forecast).train()
    written = json.loads((tmp_path / "run" / "forecast.json").read_text())
    assert written["loss"]["loss"] == forecast.loss.loss if forecast.loss else None
    assert written["ngram_losses"] == [3.3, 2.4, 1.9, 1.7] and written["curve"][-1]["step"] == 3


# ---- whose run it is ----


def test_the_holder_of_a_run_is_known_while_it_trains_and_no_other_process_is_taken_for_it(tmp_path: Path) -> None:
    assert lock.holder_of(tmp_path) is None
    with lock.held(tmp_path):
        holder = lock.holder_of(tmp_path)
        assert holder is not None and holder.process == os.getpid() and holder.is_alive()
    assert lock.holder_of(tmp_path) is None


@pytest.mark.parametrize(
    ("changed", "alive"),
    [
        ({}, True),
        ({"began": None}, True),  # as an earlier version wrote it
        ({"began": 1.0}, False),  # the number belongs to another process now
        ({"process": 2**22 + 1}, False),
        ({"computer": "another"}, None),
    ],
)
def test_a_holder_that_was_killed_is_not_alive(
    tmp_path: Path, changed: dict[str, Any], alive: bool | None
) -> None:
    said = {
        "process": os.getpid(),
        "computer": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M"),
        "began": lock.began(os.getpid()),
    }
    (tmp_path / "resume").mkdir()
    write_json(tmp_path / "resume" / "holder.json", said | changed)
    holder = lock.holder_of(tmp_path)
    assert holder is not None and holder.is_alive() is alive


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"process": "x", "computer": "a", "since": "b"}'])
def test_a_damaged_holder_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "resume").mkdir()
    (tmp_path / "resume" / "holder.json").write_text(content)
    assert lock.holder_of(tmp_path) is None and lock.whom(tmp_path) == ""
