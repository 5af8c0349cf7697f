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
    if name in ("generation_llama", "generation_gemma", "serving_llama") and not llama_cpp.is_installed():
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
    assert f"- `{result['command']}`" in page.behind(page.read(results))


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


def test_the_pages_are_rendered_from_the_results() -> None:
    found = page.read()
    for path, below in ((page.PAGE, page.table(found)), (page.NOTES, page.behind(found))):
        assert path.read_text(encoding="utf-8").partition(page.MARKER)[2].strip() == below.strip()


def test_rendering_leaves_what_was_written_by_hand(tmp_path: Path) -> None:
    here, notes, results = tmp_path / "speed.md", tmp_path / "speed-notes.md", tmp_path / "results"
    for path in (here, notes):
        path.write_text(f"By hand.\n\n{page.MARKER}\nwhat was there before\n", encoding="utf-8")
    results.mkdir()
    (results / "throughput.json").write_text(json.dumps(made_up_result()), encoding="utf-8")
    page.render(here, notes, results)
    text, behind = here.read_text(encoding="utf-8"), notes.read_text(encoding="utf-8")
    for path in (text, behind):
        assert path.startswith(f"By hand.\n\n{page.MARKER}\n") and "there before" not in path
    assert "| 4.2 times<br>3.9 to 4.6 times, 3 rounds, machine 1 | 4 times | 6 times |" in text
    assert "| not measured |" in text  # the others
    assert "- ours: 42,000 tokens/s (39,000 to 46,000)" in behind
    page.render(here, notes, results)
    assert here.read_text(encoding="utf-8") == text and notes.read_text(encoding="utf-8") == behind


def test_kinds_of_machines_stand_side_by_side_each_number_with_its_machine(tmp_path: Path) -> None:
    for kind, units, median in (("amx", ["amx_bf16"], 4.2), ("float32", [], 1.7)):
        result = made_up_result()
        result["machine"]["matrix_units"] = units
        result["rows"]["throughput"] = {**result["rows"]["throughput"], "median": median}
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "throughput.json").write_text(json.dumps(result), encoding="utf-8")
    found = page.read(tmp_path)
    assert list(found) == ["amx", "float32"]
    (row,) = [line for line in page.table(found).splitlines() if "4.2 times" in line]
    assert row.index("machine 1") < row.index("1.7 times (not there yet)") < row.index("machine 2")
    assert "2. one, 2 cores, 2 threads, no matrix units" in page.behind(found)


def test_two_results_for_one_kind_of_machine_are_a_mistake(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "other"):
        place.mkdir(exist_ok=True)
        (place / "throughput.json").write_text(json.dumps(made_up_result()), encoding="utf-8")
    with pytest.raises(AssertionError, match="another result"):
        page.read(tmp_path)


def test_what_has_not_reached_its_goal_is_said_to() -> None:
    (row,) = benchmark("throughput").rows
    slow = made_up_result()
    machines = {page.describe_machine(slow["machine"]): 1}
    slow["rows"]["throughput"]["median"] = 3.5
    assert "3.5 times (not there yet)" in page.cell(row, slow, machines)
    assert "not there yet" not in page.cell(row, made_up_result(), machines)


def test_a_smoke_run_is_no_result() -> None:
    kept = ROOT / "benchmarks" / "results"
    assert not any(json.loads(path.read_text(encoding="utf-8"))["smoke"] for path in kept.rglob("*.json"))


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
