"""What all benchmarks share: the rounds of both sides, the line for people and the JSON for the page."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rounds import Value, attempt, how_many_missed, of_side, ratio, reasons, spread

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "pictures"

# Kinds of machines, by what they multiply in: the folder of their results, and the column of the table.
KINDS = {
    "amx": "AMX",
    "avx512-bf16": "AVX512-BF16, no AMX",
    "arm-bf16": "Arm with BF16",
    "float32": "float32 only (AVX2, say)",
}


@dataclass(frozen=True)
class Row:
    """A line of the table: what is measured, in what unit, which way is better, and what it has to reach."""

    key: str
    measured: str
    unit: str  # "times", "share", "nats", "s"
    better: str = "more"  # or "less"
    must: float | None = None
    aim: float | None = None


@dataclass
class Outcome:
    """What a benchmark has measured; every list has a value for each round, or why there is none.

    values      by Row.key
    sides       what the values were made from, by the side's name, in `unit`
    ratio_of    which side is divided by which, where the first row is a ratio
    details     whatever else a reader may want to know, as JSON has it
    """

    values: dict[str, list[Value]]
    sides: dict[str, list[Value]] = field(default_factory=dict)
    unit: str = ""
    ratio_of: str | None = None
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What `measure` gets: how often, how small, where it may write, and the benchmark's own options."""

    rounds: int
    smoke: bool
    folder: Path
    pictures: Path
    options: argparse.Namespace


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. `add_options` declares options of its own, `section` what it adds to the page as Markdown."""

    name: str
    about: str
    measure: Callable[[Work], Outcome]
    rows: tuple[Row, ...] = ()
    rounds: int = 3
    add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None
    section: Callable[[dict[str, Any]], str] = lambda result: ""

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """The command line of `python -m benchmarks.NAME`."""
        arguments = sys.argv[1:] if arguments is None else arguments
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{self.name}", description=self.about)
        parser.add_argument("--rounds", type=int, help=f"how often both sides run [default: {self.rounds}]")
        parser.add_argument("--smoke", action="store_true", help="tiny, in seconds; only shows that it runs")
        parser.add_argument("--results", type=Path, metavar="DIR", help="where NAME.json goes")
        self.add_options(parser)
        options = parser.parse_args(arguments)
        rounds = options.rounds if options.rounds is not None else 1 if options.smoke else self.rounds
        if rounds < 1:
            parser.error("--rounds takes at least 1")
        kept = RESULTS / kind_of(machine())
        results = options.results or (None if options.smoke else kept)  # a smoke run is no result
        with tempfile.TemporaryDirectory(prefix="homespun-benchmark-", ignore_cleanup_errors=True) as folder:
            pictures = PICTURES if results == kept else (results or Path(folder))
            work = Work(rounds, options.smoke, Path(folder), pictures, options)
            outcome = self.measure(work)
        result = self.result(outcome, work, " ".join([parser.prog, *spoken(arguments)]))
        for line in self.lines(result):
            print(line, flush=True)
        if results is not None:
            results.mkdir(parents=True, exist_ok=True)
            text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
            (results / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")

    def result(self, outcome: Outcome, work: Work, command: str) -> dict[str, Any]:
        """What goes into NAME.json; a number in the details that is none becomes null."""
        from homespun.cli.screens.plain import jsonable

        first = outcome.values.get(self.rows[0].key) if self.rows else None
        is_ratio = outcome.ratio_of is not None and first is not None
        return {
            "name": self.name,
            "about": self.about,
            "command": command,
            "rounds": work.rounds,
            "smoke": work.smoke,
            "unit": outcome.unit,
            "sides": {side: spread(values) for side, values in outcome.sides.items()},
            "ratio": {"of": outcome.ratio_of, **spread(first)} if is_ratio and first else None,
            "rows": {row.key: spread(outcome.values[row.key]) for row in self.rows if outcome.values.get(row.key)},
            "notes": outcome.notes,
            "details": jsonable(outcome.details),
            "machine": machine(),
        }

    def lines(self, result: dict[str, Any]) -> list[str]:
        """The result for people, a line a row."""
        said = []
        for row in self.rows:
            if found := result["rows"].get(row.key):
                ends = f"must {formatted(row.must, row.unit)}, aim {formatted(row.aim, row.unit)}"
                said.append(f"{row.measured}: {median_of(found, row)} ({range_of(found, row)}; {ends})")
        for side, found in result["sides"].items():
            said.append(f"  {side}: {of_side(found, result['unit'], 4)}")
        said += [f"  {reason}" for reason in reasons(result)]
        return [*said, *(f"  note: {note}" for note in result["notes"])]


def alternate(rounds: int, *sides: Callable[[], Value]) -> list[list[Value]]:
    """Runs the sides in turn, A B A B …, and returns the values of each; a side that fails is not reached.

    >>> ticks = iter(range(6))
    >>> alternate(3, lambda: next(ticks), lambda: next(ticks))
    [[0, 2, 4], [1, 3, 5]]
    """
    values: list[list[Value]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, found in zip(sides, values, strict=True):
            found.append(attempt(side))
    return values


def ratios(over: Sequence[Value], under: Sequence[Value]) -> list[Value]:
    """The ratio of each pair: what slows the machine down for a while slows down both of a pair.

    >>> ratios([6.0, 8.0], [2.0, 4.0])
    [3.0, 2.0]
    """
    return [ratio(a, b) for a, b in zip(over, under, strict=True)]


def formatted(value: float | None, unit: str) -> str:
    """A number as the table has it.

    >>> formatted(4.317, "times"), formatted(0.432, "share"), formatted(1.46971, "nats"), formatted(None, "s")
    ('4.32 times', '43%', '1.4697', '–')
    """
    if value is None:
        return "–"
    if unit == "share":
        return f"{value:.0%}"
    if unit == "nats":
        return f"{round(value, 4) + 0.0:.4f}".rstrip("0").ljust(4, "0")  # + 0.0: nothing is not less than nothing
    return f"{value:.3g} {unit}"


def median_of(found: dict[str, Any], row: Row) -> str:
    """The median of a row's spread, a bound of it that is named one, or that it was not reached.

    >>> row = Row("", "", "times")
    >>> median_of({"median": 4.2}, row), median_of({"median": None, "at_least": 9.35}, row)
    ('4.2 times', 'at least 9.35 times')
    >>> median_of({"median": None, "at_least": None}, row)
    'not reached'
    """
    if found["median"] is not None:
        return formatted(found["median"], row.unit)
    return "not reached" if found["at_least"] is None else f"at least {formatted(found['at_least'], row.unit)}"


def range_of(found: dict[str, Any], row: Row) -> str:
    """
    >>> range_of({"median": 4.2, "low": 3.9, "high": 4.6}, Row("", "", "times"))
    '3.9 to 4.6 times'
    >>> from benchmarks.rounds import NotReached
    >>> range_of(spread([3.9, NotReached("ours ended with 1")]), Row("", "", "times"))
    'not reached in 1 of 2 rounds: ours ended with 1'
    """
    if found["median"] is None:
        why = dict.fromkeys(missing["why"] for missing in found["not_reached"])
        return f"{how_many_missed(found)}: {'; '.join(why)}"
    low, high = (formatted(found[end], row.unit) for end in ("low", "high"))
    return f"{low.removesuffix(' ' + row.unit)} to {high}"


def machine() -> dict[str, Any]:
    """What a reader needs to know of this machine, and nothing that names it."""
    import torch

    from homespun.machine.device import describe_machine

    facts = describe_machine("cpu")
    return {
        "processor": facts.processor,
        "cores": facts.cores,
        "threads": torch.get_num_threads(),
        "matrix_units": list(facts.matrix_units),
        "memory_gb": round(facts.memory / 1e9, 1),
        "torch": facts.torch,
        "python": facts.python,
        "compiler": facts.compiler is not None,
        "date": time.strftime("%Y-%m-%d"),
    }


def kind_of(facts: dict[str, Any]) -> str:
    """Of KINDS, from what `machine` returns.

    >>> kind_of({"matrix_units": ["amx_bf16", "avx512_bf16"]}), kind_of({"matrix_units": []})
    ('amx', 'float32')
    """
    names = {"amx_bf16": "amx", "avx512_bf16": "avx512-bf16", "bf16": "arm-bf16"}
    return next((kind for unit, kind in names.items() if unit in facts["matrix_units"]), "float32")


def spoken(arguments: Sequence[str]) -> list[str]:
    """The arguments as others may type them: without where the results went, and without folders of this machine.

    >>> spoken(["--rounds", "5", "--results", "elsewhere", "--text", "/home/me/book.txt"])
    ['--rounds', '5', '--text', 'book.txt']
    """
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--results":
            next(words, None)
        elif not word.startswith("--results="):
            option, is_pair, value = word.rpartition("=")
            kept.append(option + is_pair + (Path(value).name if os.sep in value else value))
    return kept
