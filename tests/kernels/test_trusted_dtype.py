"""A fast way that gives wrong numbers is noticed before it is used, once, and in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.dataset.preparation import Dataset
from homespun.kernels import trusted_dtype as trust
from homespun.kernels.selfcheck import ModelCheck
from homespun.kernels.trusted_dtype import trusted_dtype
from homespun.model.gpt import build
from homespun.training.clock import RunClock
from homespun.training.loop import Loop
from homespun.training.objective import NextToken
from homespun.training.watcher import Watcher
from tests.patience import PATIENCE
from tests.training.conftest import small_plan


def test_what_computes_right_is_used_and_tested_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = []
    real = trust.check_model

    def counting(*arguments: Any) -> ModelCheck:
        tests.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(trust, "check_model", counting)
    notes: list[str] = []
    assert trusted_dtype("cpu", "bfloat16", notes.append) == "bfloat16"
    assert trusted_dtype("cpu", "bfloat16", notes.append) == "bfloat16"
    assert len(tests) == 1 and notes == []


def test_what_computes_wrongly_is_not_used_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ModelCheck("bfloat16", float("nan"), 0.1, False)
    monkeypatch.setattr(trust, "check_model", lambda *arguments: wrong)
    notes: list[str] = []
    for _ in range(2):
        assert trusted_dtype("cpu", "bfloat16", notes.append) == "float32"
    assert notes[0] == ("bfloat16 on cpu computes wrongly here (homespun doctor shows it); training is in float32")


def test_a_cache_that_cannot_be_written_is_no_reason_not_to_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "file"))
    assert trusted_dtype("cpu", "bfloat16", print) == "bfloat16"


def test_a_damaged_memory_is_made_anew(own_cache: Path) -> None:
    assert trusted_dtype("cpu", "bfloat16", print) == "bfloat16"
    (remembered,) = (own_cache / "selftests").iterdir()
    for content in ("", "[]", '{"passed": "yes"}'):
        remembered.write_text(content)
        assert trusted_dtype("cpu", "bfloat16", print) == "bfloat16"
        assert '"passed": true' in remembered.read_text()


def test_a_compiled_step_that_computes_something_else_is_not_used(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that works, and is wrong: it takes the loss of the targets for something a little else."""

    def lying(model: torch.nn.Module, **how: Any) -> Any:
        def forward(ids: torch.Tensor, targets: torch.Tensor) -> Any:
            logits, loss = model(ids, targets.roll(1, dims=1))
            return logits, loss

        return forward

    notes: list[str] = []

    class Notes(Watcher):
        def note(self, line: str) -> None:
            notes.append(line)

    def run(compile: bool) -> float:
        plan = small_plan(dataset, steps=5).with_(compile=compile)
        torch.manual_seed(plan.seed)
        model = build(plan.config(dataset.vocab_size))
        loop = Loop(plan, model, NextToken(plan, dataset), watcher=Notes(), clock=RunClock(time.monotonic()))
        return list(loop.run())[-1].val_loss

    monkeypatch.setattr(torch, "compile", lying)
    assert run(compile=True) == run(compile=False)
    assert notes == ["torch.compile computes something else than the model here; training goes on without it."]


@pytest.mark.parametrize("compile", ["yes", "no"])
def test_a_compile_cache_that_cannot_be_made_is_told_and_another_taken(compile: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "book.txt").write_text("A cat sees the moon.\n" * 200)
    command = [
        sys.executable,
        "-m",
        "homespun",
        "train",
        "book.txt",
        "--steps",
        "2",
        "--size",
        "nano",
        "--out",
        "run",
    ]
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "file" / "cache"), "CXX": "/nowhere"}
    done = subprocess.run(
        [*command, "--set", f"compile={compile}", "--set", "n_layer=1"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "TORCHINDUCTOR_CACHE_DIR cannot be used (Not a directory)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
