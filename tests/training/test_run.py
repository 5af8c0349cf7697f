from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from homespun.checkpoint.folder import load_model
from homespun.dataset.preparation import Dataset
from homespun.errors import TrainingError, UsageError
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.curve import draw_curve
from homespun.training.recipe import Pretraining
from homespun.training.run import Run
from homespun.training.watcher import Record, Result, Watcher
from tests.training.conftest import small_plan


def run_of(
    dataset: Dataset,
    tokenizer: Tokenizer,
    out: Path,
    plan: Plan | None = None,
    recipe: Pretraining | None = None,
    **more: Any,
) -> Run[Plan, Result]:
    return Run(
        plan or small_plan(dataset, evaluate_every=10),
        recipe or Pretraining(dataset, tokenizer, "a small book"),
        out,
        **{"watcher": Watcher(), "sample": lambda model: "A cat sees.", "started": time.monotonic(), **more},
    )


@pytest.fixture
def result(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> Result:
    return run_of(dataset, tokenizer, tmp_path / "run").train()


def test_the_folder_has_what_the_design_names(result: Result) -> None:
    assert {path.name for path in result.out.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
        "plan.toml",
        "metrics.jsonl",
        "progress.jsonl",
        "samples.jsonl",
        "curve.png",
        "embedding",
        "resume",
    }


def test_metrics_are_one_object_a_line_with_the_promised_names(result: Result) -> None:
    lines = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 10, 20, 30, 40]
    promised = (
        "format step tokens seconds train_loss val_loss bits_per_char bits_per_byte lr tokens_per_second "
        "val_tokens"
    )
    assert " ".join(lines[0]) == promised
    assert lines[-1]["val_loss"] == result.val_loss


def test_the_weights_in_the_folder_are_the_best_ones(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    # A learning rate that soon climbs too high: the loss goes down and up. So few steps do so on every machine.
    rates = {"learning_rate": 1.0, "warmup_steps": 30, "decay": 0}
    plan = small_plan(dataset, steps=4, optimizer="adamw", clip=0, evaluate_every=1, **rates)
    result = run_of(dataset, tokenizer, tmp_path / "run", plan).train()
    lines = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["val_loss"])
    assert 0 < best["step"] == result.best_step < 4
    from homespun.evaluation.loss import evaluate

    assert evaluate(load_model(result.out)[0], dataset.val).loss == pytest.approx(best["val_loss"], abs=1e-5)


def test_the_card_says_what_it_is_made_of_and_how_it_is_used(result: Result) -> None:
    card = (result.out / "README.md").read_text()
    for part in ("a small book", f"{result.val_loss:.4f}", "A cat sees.", "AutoModelForCausalLM", "plan.toml"):
        assert part in card


def test_the_curve_is_a_picture(result: Result) -> None:
    assert (result.out / "curve.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_curve_of_one_point_is_drawn_too() -> None:
    record = Record(0, 0, 1.0, None, 4.2, 6.0, 6.0, 0.0, 0.0, 100)
    assert draw_curve([record], "nothing yet").startswith(b"\x89PNG\r\n")


def test_a_folder_with_something_in_it_is_refused_and_left_alone(
    result: Result, dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in result.out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="holds a run already"):
        run_of(dataset, tokenizer, result.out).train()
    assert {path: path.read_bytes() for path in result.out.rglob("*") if path.is_file()} == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    with pytest.raises(UsageError, match="is not empty"):
        run_of(dataset, tokenizer, tmp_path / "letters").train()


def test_a_folder_that_cannot_be_made_says_so(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot be made.*\n.*--out"):
        run_of(dataset, tokenizer, tmp_path / "file" / "run").train()


def test_a_run_that_goes_wrong_says_what_is_left_of_it(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plan = small_plan(dataset, optimizer="adamw", learning_rate=1e30, warmup_steps=0, clip=0)
    with pytest.raises(TrainingError, match="The best weights until then, of step 0, are in"):
        run_of(dataset, tokenizer, tmp_path / "run", plan).train()
    load_model(tmp_path / "run")


def test_tensorboard_gets_the_metrics_where_asked(dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    out = run_of(dataset, tokenizer, tmp_path / "run", tensorboard=True).train().out
    assert any(path.name.startswith("events.out") for path in (out / "tensorboard").iterdir())


SCRIPT = """
import sys, homespun
from homespun.training.watcher import Watcher
class Told(Watcher):
    def stepped(self, progress):
        if progress.step == 5:
            print("under way", flush=True)
text, out = sys.argv[1:]
run = homespun.train(text, steps=100000, size="nano", out=out, watcher=Told(), settings={"compile": False})
print("interrupted", run.result.interrupted, run.result.steps)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_has_learnt(number: int, book: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(book), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        process.send_signal(number)
        told = process.stdout.read().split()
    assert process.returncode == 0
    assert told[:2] == ["interrupted", "True"] and 5 <= int(told[2]) < 1000
    load_model(tmp_path / "run")
    assert "It was interrupted there" in (tmp_path / "run" / "README.md").read_text()
