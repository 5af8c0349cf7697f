"""Writes docs/speed.md from the results: above the marker it is written by hand, below it by this file."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.pairs import RESULTS, ROOT, Benchmark, Row, formatted, median_of, range_of
from benchmarks.rounds import of_side, reasons

PAGE = ROOT / "docs" / "speed.md"
MARKER = "<!-- Below this line `python -m benchmarks render` writes, from benchmarks/results. -->"

# In the order of the table.
NAMES = (
    "minutes",
    "ten_minutes",
    "time_to_loss",
    "throughput",
    "share",
    "first_step",
    "plain_machine",
    "preparing",
    "memory",
    "plan_against_outcome",
    "growth",
    "generation",
    "generation_llama",
    "generation_start",
    "generation_loss",
    "generation_chart",
    "busy",
    "serving",
    "finetune_speed",
    "finetune_code",
)


def benchmarks() -> list[Benchmark]:
    return [import_module(f"benchmarks.{name}").BENCHMARK for name in NAMES]


def render(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Rewrite the part of the page below the marker."""
    text = page.read_text(encoding="utf-8")
    assert text.count(MARKER) == 1, f"{page} has to have the line once: {MARKER}"
    page.write_text(text.partition(MARKER)[0] + MARKER + "\n\n" + generated(results), encoding="utf-8")


def generated(folder: Path = RESULTS) -> str:
    """The table, the commands and machines behind it, and what benchmarks add of their own."""
    found = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in NAMES
        if (path := folder / f"{name}.json").is_file()
    }
    lines = ["| measured | median | from, to | rounds | must reach | aim |", "|---|---|---|---|---|---|"]
    for benchmark in benchmarks():
        lines += [line(row, found.get(benchmark.name)) for row in benchmark.rows]
    parts = ["\n".join(lines)]
    if found:
        parts.append(origins(list(found.values())))
    parts += [benchmark.section(found[benchmark.name]) for benchmark in benchmarks() if benchmark.name in found]
    return "\n\n".join(part for part in parts if part) + "\n"


def line(row: Row, result: dict[str, Any] | None) -> str:
    """A row of the table. It says where it misses what it must reach, and where there is no result."""
    found = result["rows"].get(row.key) if result else None
    must, aim = (formatted(goal, row.unit) for goal in (row.must, row.aim))
    if found is None:
        return f"| {row.measured} | not measured yet | | | {must} | {aim} |"
    short = " (not there yet)" if falls_short(row, found) else ""
    median = f"{median_of(found, row)}{short}"
    return f"| {row.measured} | {median} | {range_of(found, row)} | {len(found['values'])} | {must} | {aim} |"


def falls_short(row: Row, found: dict[str, Any]) -> bool:
    """Whether the row is known to miss what it must reach. What is at least so much may be more.

    >>> row = Row("", "", "times", must=4)
    >>> falls_short(row, {"median": 4.2}), falls_short(row, {"median": 3.5})
    (False, True)
    >>> falls_short(row, {"median": None, "at_least": 3.5})
    False
    >>> falls_short(Row("", "", "s", "less", must=6), {"median": None, "at_least": 6.5})
    True
    """
    value = found["median"] if found["median"] is not None else found["at_least"]
    if row.must is None or value is None:
        return False
    if row.better == "less":
        return value > row.must
    return found["median"] is not None and value < row.must


def origins(results: list[dict[str, Any]]) -> str:
    """The command behind each result, the values of both sides, notes, and the machines."""
    lines = ["## Behind the numbers", ""]
    machines = list(dict.fromkeys(describe_machine(result["machine"]) for result in results))
    for result in results:
        where = f", machine {1 + machines.index(describe_machine(result['machine']))}" if len(machines) > 1 else ""
        lines.append(f"- `{result['command']}` ({result['machine']['date']}{where})")
        for side, found in result["sides"].items():
            lines.append(f"  - {side}: {of_side(found, result['unit'], 5)}")
        lines += [f"  - {reason}" for reason in reasons(result)]
        lines += [f"  - {note}" for note in result["notes"]]
    if len(machines) == 1:
        lines += ["", f"Measured on: {machines[0]}."]
    else:
        lines += ["", "The machines:", "", *(f"{number}. {machine}" for number, machine in enumerate(machines, 1))]
    return "\n".join(lines)


def describe_machine(facts: dict[str, Any]) -> str:
    units = ", ".join(facts["matrix_units"]) or "no matrix units"
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, {units}, "
        f"{facts['memory_gb']:g} GB of memory, PyTorch {facts['torch']}, Python {facts['python']}"
    )
