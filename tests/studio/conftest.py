from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from homespun.training.lock import holder_of
from tests.server.running import make_model
from tests.studio.running import TEXT, RunningStudio, own_cache_for, running

PLAN = """# Every number of a run. To repeat it:  homespun train --plan THIS-FILE
format = 2
text = ["{text}"]
text_key = "one"
tokenizer = "byte"
model = "modern"
n_layer = 2
n_head = 2
n_kv_head = 2
n_embd = 16
n_inner = 48
tied_head = false
context_length = 64
steps = {steps}
batch_size = 2
learning_rate = 0.01
warmup_steps = 0
"""
METRICS = (
    '{{"format": 1, "step": {step}, "tokens": {tokens}, "seconds": {step}.0, "train_loss": {train}, '
    '"val_loss": {loss}, "bits_per_char": {loss}, "bits_per_byte": {loss}, "lr": 0.01, '
    '"tokens_per_second": 100.0, "val_tokens": {of}}}\n'
)


def metrics_line(step: int, loss: float, of: int = 100) -> str:
    train = "null" if step == 0 else str(loss + 0.1)
    return METRICS.format(step=step, tokens=step * 128, train=train, loss=loss, of=of)


def make_run(folder: Path, *, steps: int = 20, text: str = "book.txt") -> Path:
    """A folder as a finished run of an earlier version leaves it, with a small model in it."""
    make_model(folder, context=64)
    (folder / "plan.toml").write_text(PLAN.format(steps=steps, text=text))
    lines = [metrics_line(step, 4.0 - step / 20) for step in range(0, steps + 1, 5)]
    (folder / "metrics.jsonl").write_text("".join(lines) + metrics_line(steps, 3.05, of=500))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "book.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "secret.txt").write_text("not for the page")
    yield tmp_path / "home"
    for run in (tmp_path / "home").glob("runs/*"):  # a test that failed leaves no training behind
        holder = holder_of(run)
        if holder is not None and holder.is_alive() and holder.process != os.getpid():
            os.kill(holder.process, signal.SIGKILL)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("studio")
    home = base / "home"
    make_run(home / "runs" / "one")
    make_run(home / "runs" / "two", text="book.txt")
    (home / "book.txt").write_text(TEXT, encoding="utf-8")
    (home / "texts" / "inner").mkdir(parents=True)
    (home / "texts" / "a.txt").write_text("a")
    (home / ".hidden").write_text("hidden")
    (base / "secret.txt").write_text("not for the page")
    (home / "way-out").symlink_to(base)
    static = base / "static"
    static.mkdir()
    (static / "index.html").write_text("<!doctype html><title>studio</title>")
    (static / "studio.js").write_text("export {};")
    (static / "notes.txt").write_text("no file of the page")
    return home


@pytest.fixture(scope="module")
def studio(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    with (
        own_cache_for(tmp_path_factory.mktemp("cache of the studio")),
        running(shared_folder, static=shared_folder.parent / "static", largest_body=100_000) as studio,
    ):
        yield studio
