"""Every benchmark runs, in its smallest form, and leaves what the page is made of. How fast is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import page
from benchmarks.pairs import Benchmark
from homespun.interop import llama_cpp
from tests.patience import LONG_PATIENCE

ROOT = Path(__file__).parents[2]
SPREAD = {"median", "low", "high", "values"}
FIELDS = {"name", "about", "command", "rounds", "smoke", "unit", "sides", "ratio", "rows", "notes", "details"}
MACHINE = {"processor", "cores", "threads", "matrix_units", "torch", "python", "date"}
TWO_SIDED = {"time_to_loss", "throughput", "share", "plain_machine", "preparing", "memory"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests below leave their results, in the order in which they run."""
    return tmp_path_factory.mktemp("results")


# Two of them stand for the others where time is short; `make test-slow` runs all.
QUICK = {"throughput", "memory"}
ALL = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in page.NAMES]


@pytest.mark.timeout(LONG_PATIENCE)
@pytest.mark.parametrize("name", ALL)
def test_its_smallest_form_runs_and_leaves_a_whole_result(name: str, results: Path) -> None:
    if name == "generation_llama" and not llama_cpp.is_installed():
        pytest.skip("xllamacpp is not installed")
    command = [sys.executable, "-m", f"benchmarks.{name}", "--smoke", "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LONG_PATIENCE)
    assert done.returncode == 0, done.stderr
    text = (results / f"{name}.json").read_text(encoding="utf-8")
    assert str(ROOT) not in text and str(results) not in text, "a result is for others: no path of this machine"
    result = json.loads(text)
    assert result.keys() >= FIELDS and result["machine"].keys() >= MACHINE
    assert result["name"] == name and result["rounds"] == 1 and result["smoke"]
    assert result["command"] == f"python -m benchmarks.{name} --smoke"
    assert "not_reached" not in text, "a smoke run reaches everything, or it shows nothing"
    for found in (*result["sides"].values(), *result["rows"].values()):
        assert found.keys() == SPREAD and found["low"] <= found["median"] <= found["high"]
    if name in TWO_SIDED:
        assert result["ratio"].keys() == SPREAD | {"of"}
        assert len(result["sides"]) >= 2
    assert f"- `{result['command']}`" in page.generated(results)


def benchmark(name: str) -> Benchmark:
    return next(one for one in page.benchmarks() if one.name == name)


def test_a_ratio_is_that_of_the_pair() -> None:
    from benchmarks.pairs import alternate, ratios

    order: list[str] = []

    def side(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    ours, plain = alternate(3, lambda: side("ours", 2.0), lambda: side("plain", 8.0))
    assert order == ["ours", "plain"] * 3
    assert ratios(plain, ours) == [4.0, 4.0, 4.0]


def test_the_page_is_rendered_from_the_results() -> None:
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert text.partition(page.MARKER)[2].strip() == page.generated().strip()


def test_rendering_leaves_what_was_written_by_hand(tmp_path: Path) -> None:
    here = tmp_path / "speed.md"
    here.write_text(f"By hand.\n\n{page.MARKER}\nwhat was there before\n", encoding="utf-8")
    (tmp_path / "throughput.json").write_text(json.dumps(made_up_result()), encoding="utf-8")
    page.render(here, tmp_path)
    text = here.read_text(encoding="utf-8")
    assert text.startswith(f"By hand.\n\n{page.MARKER}\n") and "there before" not in text
    assert "| 4.2 times | 3.9 to 4.6 times | 3 | 4 times | 6 times |" in text
    assert "not measured yet" in text  # the others
    assert "- ours: 42,000 tokens/s (39,000 to 46,000)" in text
    once = text
    page.render(here, tmp_path)
    assert here.read_text(encoding="utf-8") == once


def test_what_has_not_reached_its_goal_is_said_to() -> None:
    (row,) = benchmark("throughput").rows
    slow = made_up_result()
    slow["rows"]["throughput"]["median"] = 3.5
    assert "3.5 times (not there yet)" in page.line(row, slow)
    assert "not there yet" not in page.line(row, made_up_result())


def test_a_smoke_run_is_no_result() -> None:
    kept = ROOT / "benchmarks" / "results"
    assert not any(json.loads(path.read_text(encoding="utf-8"))["smoke"] for path in kept.glob("*.json"))


def made_up_result() -> dict[str, Any]:
    ratio = {"median": 4.2, "low": 3.9, "high": 4.6, "values": [3.9, 4.2, 4.6]}
    return {
        "name": "throughput",
        "command": "python -m benchmarks.throughput",
        "unit": "tokens/s",
        "sides": {"ours": {"median": 42000.0, "low": 39000.0, "high": 46000.0, "values": []}},
        "ratio": {"of": "ours / plain", **ratio},
        "rows": {"throughput": ratio},
        "notes": [],
        "details": {},
        "smoke": False,
        "machine": {
            "processor": "one",
            "cores": 2,
            "threads": 2,
            "matrix_units": [],
            "memory_gb": 8,
            "torch": "2",
            "python": "3",
            "date": "2026-01-01",
        },
    }
