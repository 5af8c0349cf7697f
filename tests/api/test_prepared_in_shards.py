"""A text that was prepared as shards: trained on from its folder and from an address, resumed, and replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import homespun
from homespun.api.prepare import prepare
from homespun.api.train_setup import Given, on_that_device
from homespun.cli import main
from homespun.dataset import division
from homespun.errors import TextError, TextNotFound, UsageError
from homespun.planning.plan import Plan
from homespun.training.watcher import Watcher
from tests.api.test_train import SMALL, Notes

HOW: dict[str, Any] = {"steps": 6, "settings": SMALL}


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(30):
        lines = "".join(f"{n} green bottles, {number} on the wall.\n" for n in range(100))
        (folder / f"{number:02}.txt").write_text(lines, encoding="utf-8")
    return folder


def losses(run: Path) -> list[float]:
    return [json.loads(line)["val_loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_on_shards_learns_the_same_wherever_they_lie_and_can_be_repeated(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(division, "UNIT", 2**14)
    notes = Notes()
    found = prepare(texts, out="owt", tokenizer="char", watcher=notes)
    assert found is not None and len(list(Path("owt").glob("train-*.npy"))) > 3

    notes = Notes()
    here = homespun.train("owt", out="here", watcher=notes, **HOW).folder
    assert not any("tokenizer" in line for line in notes.notes)
    fsspec.filesystem("memory").put("owt", "/bucket/run-owt", recursive=True)
    there = homespun.train("memory://bucket/run-owt", out="there", watcher=Watcher(), **HOW).folder
    assert losses(there) == losses(here)
    again = homespun.train(plan=here / "plan.toml", out="again", watcher=Watcher()).folder
    assert losses(again) == losses(here)
    assert homespun.train(out=there, resume=True, watcher=Watcher()).result.steps == 6
    assert homespun.load(here).generate("1 green", max_tokens=5, seed=1).startswith("1 green")

    with pytest.raises(UsageError, match="given with other texts"):
        homespun.train("owt", str(texts), watcher=Watcher(), **HOW)
    with pytest.raises(TextNotFound, match="no prepared dataset"):
        homespun.train("memory://bucket/nothing", watcher=Watcher(), **HOW)


def test_two_processes_prepare_a_text_together(texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("data", "prepare", str(texts), "--out", "two", "--tokenizer", "byte", "--processes", "2", "--json")
    assert main(command) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["complete"]
    one = prepare(texts, out="one", tokenizer="byte", watcher=Watcher())
    assert one is not None and (done["key"], done["train_tokens"]) == (
        one.dataset.key,
        one.dataset.train.tokens,
    )
    assert {path.name: path.read_bytes() for path in Path("two").glob("*.npy")} == {
        path.name: path.read_bytes() for path in Path("one").glob("*.npy")
    }


def test_what_is_wrong_in_one_process_is_said_by_the_command(texts: Path) -> None:
    with pytest.raises(TextError, match="has failed"):
        prepare(texts / "nothing.txt", out="out", tokenizer="byte", processes=2)
    with pytest.raises(UsageError, match="Standard input"):
        prepare("-", out="out", processes=2)
    with pytest.raises(UsageError, match="no part 5 of 4"):
        prepare(texts, out="out", part=(4, 4))


def test_a_part_that_is_no_part_is_a_wrong_command_line(texts: Path) -> None:
    assert main(("data", "prepare", str(texts), "--out", "out", "--part", "two")) == 2


# A run goes on on another device


def test_a_run_of_a_gpu_goes_on_on_the_cpu(texts: Path) -> None:
    how = {**HOW, "settings": {**SMALL, "dtype": "float32"}}
    folder = homespun.train(texts / "00.txt", out="run", watcher=Watcher(), **how).folder
    plan = folder / "plan.toml"
    plan.write_text(plan.read_text().replace('device = "cpu"', 'device = "cuda:3"'))
    notes = Notes()
    homespun.train(out=folder, extend=True, steps=4, device="cpu", dtype="float32", watcher=notes)
    assert any("goes on on cpu, in float32; it was on cuda:3" in line for line in notes.notes)
    assert Plan.load(plan).device == "cpu" and losses(folder)[-1] < losses(folder)[0]


def test_a_run_of_the_cpu_goes_on_on_a_gpu_without_the_kernels_of_the_cpu(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = homespun.train(texts / "00.txt", out="run", watcher=Watcher(), **HOW).folder
    plan = Plan.load(folder / "plan.toml").with_(kernels=True)
    monkeypatch.setattr("homespun.machine.device.choose_device", lambda name: torch.device(name))
    monkeypatch.setattr("homespun.machine.device.choose_dtype", lambda name, device: torch.bfloat16)
    given = Given.of((), {"device": "cuda"})
    moved, left = on_that_device(plan, given, Watcher())
    assert (moved.device, moved.dtype, moved.kernels) == ("cuda", "bfloat16", False)
    assert left.device is None
    assert on_that_device(plan, Given.of((), {"device": "cpu"}), Watcher())[0] is plan
