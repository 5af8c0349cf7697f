"""Writes docs/speed.md and docs/speed-notes.md from the results: what is below a marker; above it people write.

speed.md has the table, with a column for each kind of machine. speed-notes.md has what is behind it: commands,
both sides' values, machines, and tables and pictures of single benchmarks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.pairs import KINDS, RESULTS, ROOT, Benchmark, Row, formatted, kind_of, median_of, range_of
from benchmarks.rounds import of_side, reasons

PAGE = ROOT / "docs" / "speed.md"
NOTES = ROOT / "docs" / "speed-notes.md"
MARKER = "<!-- Below this line `python -m benchmarks render` writes, from benchmarks/results. -->"

Results = dict[str, dict[str, Any]]  # by the benchmark's name

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
    "generation_gemma",
    "generation_start",
    "generation_loss",
    "generation_chart",
    "busy",
    "serving",
    "serving_llama",
    "finetune_speed",
    "finetune_gemma",
    "loading",
    "finetune_code",
)


def benchmarks() -> list[Benchmark]:
    return [import_module(f"benchmarks.{name}").BENCHMARK for name in NAMES]


def render(page: Path = PAGE, notes: Path = NOTES, results: Path = RESULTS) -> None:
    """Rewrite the parts of both pages below the marker."""
    found = read(results)
    for path, below in ((page, table(found)), (notes, behind(found))):
        text = path.read_text(encoding="utf-8")
        assert text.count(MARKER) == 1, f"{path} has to have the line once: {MARKER}"
        path.write_text(text.partition(MARKER)[0] + MARKER + "\n\n" + below + "\n", encoding="utf-8")


def read(folder: Path = RESULTS) -> dict[str, Results]:
    """The results in a folder and in its subfolders, by the kind of machine, in the order of KINDS."""
    found: dict[str, Results] = {kind: {} for kind in KINDS}
    for path in sorted(folder.rglob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        of_kind = found[kind_of(result["machine"])]
        assert result["name"] not in of_kind, f"{path}: there is another result for this kind of machine"
        of_kind[result["name"]] = result
    return {kind: results for kind, results in found.items() if results}


def table(found: dict[str, Results]) -> str:
    """A row for every row of every benchmark, a column for every kind of machine."""
    columns = [KINDS[kind] for kind in found]
    lines = [
        f"| {' | '.join(['measured', *columns, 'must reach', 'aim'])} |",
        "|---" * (len(columns) + 3) + "|",
    ]
    machines = numbered_machines(found)
    for benchmark in benchmarks():
        for row in benchmark.rows:
            lines.append(line(row, [results.get(benchmark.name) for results in found.values()], machines))
    return "\n".join(lines)


def behind(found: dict[str, Results]) -> str:
    """The commands, values and machines behind the table, and what benchmarks add of their own."""
    if not found:
        return "Nothing is measured yet."
    parts = [origins(found)]
    for benchmark in benchmarks():
        kinds = [kind for kind, results in found.items() if benchmark.name in results]
        for kind in kinds:
            section = benchmark.section(found[kind][benchmark.name])
            title, newline, rest = section.partition("\n")
            parts.append(f"{title} ({KINDS[kind]}){newline}{rest}" if section and len(kinds) > 1 else section)
    return "\n\n".join(part for part in parts if part)


def line(row: Row, results: Sequence[dict[str, Any] | None], machines: dict[str, int]) -> str:
    """A row of the table, with a cell for each result."""
    goals = [formatted(goal, row.unit) for goal in (row.must, row.aim)]
    return f"| {' | '.join([row.measured, *(cell(row, result, machines) for result in results), *goals])} |"


def cell(row: Row, result: dict[str, Any] | None, machines: dict[str, int]) -> str:
    """Median, range, rounds and machine of a result. It says where it misses what it must reach."""
    found = result["rows"].get(row.key) if result else None
    if result is None or found is None:
        return "not measured"
    short = " (not there yet)" if falls_short(row, found) else ""
    several = f", {len(found['values'])} rounds" if found["median"] is not None else ""
    machine = machines[describe_machine(result["machine"])]
    return f"{median_of(found, row)}{short}<br>{range_of(found, row)}{several}, machine {machine}"


def numbered_machines(found: dict[str, Results]) -> dict[str, int]:
    """The number of each machine, by its description."""
    all_results = (result for results in found.values() for result in results.values())
    machines = dict.fromkeys(describe_machine(result["machine"]) for result in all_results)
    return {machine: number for number, machine in enumerate(machines, 1)}


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


def origins(found: dict[str, Results]) -> str:
    """The command behind each result, the values of both sides, notes, and the machines."""
    lines = ["## Behind the numbers", ""]
    machines = numbered_machines(found)
    for name in NAMES:
        for result in (results[name] for results in found.values() if name in results):
            number = machines[describe_machine(result["machine"])]
            lines.append(f"- `{result['command']}` ({result['machine']['date']}, machine {number})")
            for side, values in result["sides"].items():
                lines.append(f"  - {side}: {of_side(values, result['unit'], 5)}")
            lines += [f"  - {reason}" for reason in reasons(result)]
            lines += [f"  - {note}" for note in result["notes"]]
    lines += ["", "The machines:", "", *(f"{number}. {machine}" for machine, number in machines.items())]
    return "\n".join(lines)


def describe_machine(facts: dict[str, Any]) -> str:
    units = ", ".join(facts["matrix_units"]) or "no matrix units"
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, {units}, "
        f"{facts['memory_gb']:g} GB of memory, PyTorch {facts['torch']}, Python {facts['python']}"
    )
