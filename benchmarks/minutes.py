"""What `homespun train shakespeare --minutes M` reaches, with a warm compile cache and with an empty one."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.commands import (
    TINY,
    Finished,
    compiled_files,
    environment,
    shakespeare,
    train,
    warm_up,
)
from benchmarks.pairs import Benchmark, Outcome, Row, Work
from benchmarks.plan_against_outcome import FORETOLD
from benchmarks.rounds import NotReached, Value, attempt, largest

COMPILES_FOR = 90.0  # seconds that a run which warms the cache goes on: it compiles beside its first steps

ROWS = (
    Row("3 minutes", "`train shakespeare --minutes 3`: loss of the whole validation split, warm compile cache",
        "nats", "less", must=1.4697, aim=1.44),
    Row("1 minute", "the same with `--minutes 1`", "nats", "less", must=1.60, aim=1.54),
    Row("3 minutes, cold", "the 3 minutes with a cold cache", "nats", "less", must=1.485, aim=1.46),
    Row("time", "how far the time from process start to process end was off, of these the worst",
        "share", "less", must=0.1),
)  # fmt: skip
TOLD = ("val_loss", "val_tokens", "seconds", "steps", "parameters", "best_step", "compiled", "step_seconds",
        *FORETOLD, "peak_memory")  # fmt: skip
MINUTES = {"1 minute": 1.0, "3 minutes": 3.0, "3 minutes, cold": 3.0}


def measure(work: Work) -> Outcome:
    only = {float(part) for part in work.options.minutes.split(",")}
    asked = {name: minutes for name, minutes in MINUTES.items() if minutes in only}
    return measured(work, {"1 minute": 0.1} if work.smoke else asked, warm=not work.smoke)


def measured(work: Work, asked: dict[str, float], *, warm: bool) -> Outcome:
    """The losses of runs of so many minutes, by name. warm: whether runs cut short fill the caches first."""
    text = shakespeare(work.folder, work.smoke)
    outcome = Outcome(values={name: [] for name in asked}, unit="nats")
    off: dict[str, list[Value]] = {name: [] for name in asked}
    for number in range(work.rounds):
        for name, minutes in asked.items():
            finished = attempt(one_run, work, text, name, minutes, number, outcome, warm=warm)
            if isinstance(finished, NotReached):
                outcome.values[name].append(finished)
                off[name].append(finished)
                continue
            outcome.values[name].append(finished.told["val_loss"])
            off[name].append(abs(finished.seconds / (60 * minutes) - 1))
            outcome.details.setdefault(name, []).append(details(finished))
            print(f"{name}: {finished.told['val_loss']:.4f} after {finished.seconds:.0f} s", flush=True)
    outcome.values["time"] = [largest(shares) for shares in zip(*off.values(), strict=True)]
    outcome.sides = {name: outcome.values[name] for name in asked}
    return outcome


def one_run(
    work: Work, text: str, name: str, minutes: float, number: int, outcome: Outcome, *, warm: bool
) -> Finished:
    """One run of so many minutes; the outcome gets a note where its caches were not what `name` says."""
    arguments = [text, "--minutes", f"{minutes:g}", *(TINY if work.smoke else [])]
    cold = name.endswith("cold")
    caches = environment(work.folder, f"cold-{number}" if cold else "warm")
    out = work.folder / f"{name}-{number}".replace(" ", "-")
    if warm and not cold and number == 0:
        go_on = COMPILES_FOR if 60 * minutes > COMPILES_FOR else None
        warm_up(arguments, out=out, environment=caches, seconds=go_on)
    files = compiled_files(caches)
    finished = train(arguments, out=out, environment=caches)
    if not cold and compiled_files(caches) > files and not work.smoke:
        outcome.notes.append(f"{name}, round {number + 1}: compiled something new, so it was not quite warm")
    return finished


def details(finished: Finished) -> dict[str, Any]:
    return {**{name: finished.told.get(name) for name in TOLD}, "seconds_outside": round(finished.seconds, 2)}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", default="1,3", metavar="M,M", help="which of them [default: 1,3]")


BENCHMARK = Benchmark(
    "minutes",
    "the loss that so many minutes buy on tiny Shakespeare, and whether they were kept",
    measure,
    ROWS,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
