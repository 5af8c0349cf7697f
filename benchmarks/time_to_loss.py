"""How much sooner than nanoGPT's recipe for a CPU we are where that recipe ends.

A side's time is that of a whole run whose last evaluation is at the loss or below. A run that ends above has no
time; what it took is a bound.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import TINY, environment, shakespeare, train
from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.rounds import NotReached, Value

LOSS = 1.8857
RECIPE = ["--model", "gpt2", "--size", "nano", "--steps", "2000", "--dtype", "float32"]
for setting in (
    "optimizer=adamw",
    "learning_rate=0.001",
    "warmup_steps=100",
    "weight_decay=0.1",
    "dropout=0",
    "clip=1",
    "compile=no",
):
    RECIPE += ["--set", setting]
# Both sides read the whole validation text, before the first step and after the last one.
EVALUATIONS = ["--set", "eval_tokens=0", "--set", "evaluate_every=1000000"]


def measure(work: Work) -> Outcome:
    """Each side's seconds: from process start until its last weights have read the whole validation text."""
    text = shakespeare(work.folder, work.smoke)
    ours, recipe, goal = (
        [text, "--minutes", f"{work.options.minutes:g}", *EVALUATIONS],
        [text, *RECIPE, *EVALUATIONS],
        LOSS,
    )
    if work.smoke:
        goal = math.inf
        ours, recipe = [text, "--steps", "2", *TINY], [text, "--steps", "4", *TINY]
    caches = environment(work.folder)
    # An empty GLIBC_TUNABLES is one that the user has set: the command leaves the allocator as it is.
    plain_env = {**caches, "GLIBC_TUNABLES": ""}
    outcome = Outcome(values={}, unit="s", ratio_of="plain / ours")
    # The text is prepared, and the machine known, as it is from the second run on.
    train([text, "--steps", "2", *TINY], out=free(work.folder / "before"), environment=caches)

    def run(side: str, arguments: list[str], environment: dict[str, str]) -> Value:
        records = train(arguments, out=free(work.folder / side), environment=environment).records
        outcome.details.setdefault(side, []).append(
            [{name: record[name] for name in ("step", "seconds", "val_loss")} for record in records]
        )
        return seconds_to(goal, records, side)

    seconds = alternate(work.rounds, lambda: run("ours", ours, caches), lambda: run("plain", recipe, plain_env))
    outcome.sides = dict(zip(("ours", "plain"), seconds, strict=True))
    outcome.values["sooner"] = ratios(outcome.sides["plain"], outcome.sides["ours"])
    outcome.notes.append(
        "the recipe decays to a tenth of the learning rate and has beta2 = 0.99; here it decays to nothing with "
        "0.95, which no setting changes, and its AdamW is PyTorch's fused one"
    )
    return outcome


def seconds_to(goal: float, records: Sequence[Mapping[str, Any]], side: str) -> Value:
    """From process start to the last evaluation, where that is at `goal` or below.

    >>> seconds_to(1.8857, [{"seconds": 7.5, "val_loss": 1.8675}], "ours")
    7.5
    >>> seconds_to(1.8857, [{"seconds": 7.5, "val_loss": 1.9}], "ours")
    NotReached(why='ours ended at a loss of 1.9000', at_least=7.5)
    """
    last = records[-1]
    loss, seconds = last["val_loss"], float(last["seconds"])
    if loss is None:  # how the metrics have an infinite one
        return NotReached(f"{side} ended at a loss that is no number")
    return seconds if loss <= goal else NotReached(f"{side} ended at a loss of {loss:.4f}", at_least=seconds)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=0.15, help="of our side [default: 0.15, nine seconds]")


def free(path: Path) -> Path:
    """A folder of that name with a number, that is not there yet."""
    return next(other for n in range(10**6) if not (other := path.with_name(f"{path.name}-{n}")).exists())


BENCHMARK = Benchmark(
    "time_to_loss",
    f"seconds until the validation loss is {LOSS}, against nanoGPT's recipe for a CPU",
    measure,
    (Row("sooner", f"time to a loss of {LOSS}, against nanoGPT's recipe for a CPU", "times", must=8, aim=15),),
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
