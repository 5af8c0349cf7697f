"""What is remembered of a machine's speed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from homespun.machine.atomic import write_json
from homespun.planning.cost import Speed
from homespun.training.measured_speed import FRESH, Memory

MEASURED = Speed(product=2e-12, number=3e-9, start=1e-3)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    return Memory("cpu", "float32")


def test_a_speed_is_remembered_beside_the_corrections(memory: Memory) -> None:
    assert memory.speed() is None
    memory.remember_speed(MEASURED)
    memory.remember("eager", 1.2)
    assert memory.speed() == MEASURED and memory.correction("eager") == pytest.approx(1.2)
    assert Memory("cpu", "bfloat16").speed() is None


def test_one_that_is_old_is_measured_again(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.remember_speed(MEASURED)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + FRESH + 60)
    assert memory.speed() is None
    monkeypatch.setattr(time, "time", lambda: now - 60)  # a clock that was set back
    assert memory.speed() is None


@pytest.mark.parametrize(
    "measured", [None, [], [1.0], "fast", [1e12, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0], ["x", 1.0, 1.0, 1.0]]
)
def test_what_is_no_speed_is_none(memory: Memory, tmp_path: Path, measured: object) -> None:
    memory.remember_speed(MEASURED)
    (file,) = (tmp_path / "cache" / "speed").iterdir()
    write_json(file, {"measured": measured})
    assert memory.speed() is None


@pytest.mark.parametrize("parts", [[0.0, 0.0, 0.0], [-1.0, 1.0, 1.0], [1.0, 1.0, "1"]])
def test_nor_are_parts_that_no_machine_has(memory: Memory, tmp_path: Path, parts: list[object]) -> None:
    memory.remember_speed(MEASURED)
    (file,) = (tmp_path / "cache" / "speed").iterdir()
    write_json(file, {"measured": [time.time(), *parts]})
    assert memory.speed() is None


def test_a_cache_that_cannot_be_written_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "file"))
    memory = Memory("cpu", "float32")
    memory.remember_speed(MEASURED)
    assert memory.speed() is None
