"""What a plan promises (time, memory, loss) beside what comes out, over several texts and budgets."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from benchmarks.commands import TINY, Finished, environment, shakespeare, train
from benchmarks.pairs import Benchmark, Outcome, Row, Work, formatted
from benchmarks.rounds import NotReached, Value, attempt, joined, largest

TEXTS = "shakespeare,shakespeare-plays,python"
FORETOLD = ("expected_loss", "expected_loss_low", "expected_loss_high", "planned_seconds", "planned_memory")


def measure(work: Work) -> Outcome:
    texts: list[str] = work.options.texts.split(",") + [str(path.resolve()) for path in work.options.text or []]
    budgets = [float(part) for part in work.options.minutes.split(",")]
    here = shakespeare(work.folder, work.smoke)
    if work.smoke:
        texts, budgets = [here], [0.1]
    outcomes = []
    # What has been downloaded, or compiled, stays: a plan is judged as a person meets it, not in its first minute.
    caches = environment(work.folder)
    if not work.smoke:
        caches.pop("HOMESPUN_CACHE")
    for number in range(work.rounds):
        for text in texts:
            for minutes in budgets:
                out = work.folder / re.sub(r"\W", "-", f"{Path(text).stem}-{minutes:g}-{number}")
                arguments = [text, "--minutes", f"{minutes:g}", *(TINY if work.smoke else [])]
                finished = attempt(train, arguments, out=out, environment=caches)
                outcomes.append(compared(Path(text).stem, minutes, finished))
                print(line(outcomes[-1]), flush=True)
    return judged(outcomes)


def compared(text: str, minutes: float, finished: Finished | NotReached) -> dict[str, Any]:
    """One run. What this version of `train --json` does not tell is None, and of a run that failed everything."""
    if isinstance(finished, NotReached):
        return {"text": text, "minutes": minutes, "not_reached": finished.why}
    seen = {name: finished.told.get(name) for name in FORETOLD}
    return {
        "text": text,
        "minutes": minutes,
        **seen,
        "seconds": round(finished.seconds, 1),
        "peak_memory": finished.told.get("peak_memory"),
        "memory_of_process": finished.memory,
        "val_loss": finished.told["val_loss"],
    }


def judged(every: list[dict[str, Any]]) -> Outcome:
    """How far off each promise was, as a share of it; the worst of all is what the row has.

    Of a run that failed nothing is known: the worst is at least that of the others, and so is the share of losses
    that were in the range.
    """
    failed = [
        NotReached(f"{one['text']}, {one['minutes']:g} min: {one['not_reached']}")
        for one in every
        if "not_reached" in one
    ]
    outcomes = [one for one in every if "not_reached" not in one]
    times = [abs(one["seconds"] / (one["planned_seconds"] or 60 * one["minutes"]) - 1) for one in outcomes]
    memories = [
        abs(one["peak_memory"] / one["planned_memory"] - 1)
        for one in outcomes
        if one["peak_memory"] and one["planned_memory"]
    ]
    hits = [
        float(one["expected_loss_low"] <= one["val_loss"] <= one["expected_loss_high"])
        for one in outcomes
        if one["expected_loss_low"] is not None and one["expected_loss_high"] is not None
    ]
    values: dict[str, list[Value]] = {"time": [largest([*times, *failed])]}
    if memories or failed:
        values["memory"] = [largest([*memories, *failed])]
    if hits:
        share = sum(hits) / (len(hits) + len(failed))
        values["loss"] = [NotReached(joined(failed), share) if failed else share]
    names = (*FORETOLD, "peak_memory")
    absent = [name for name in names if outcomes and all(one[name] is None for one in outcomes)]
    notes = [f"`train --json` does not tell {', '.join(absent)}"] if absent else []
    if "planned_seconds" in absent:
        notes.append("the minutes asked for stand for the planned seconds")
    return Outcome(values, notes=notes, details={"outcomes": every})


def line(one: dict[str, Any]) -> str:
    if "not_reached" in one:
        return f"{one['text']}, {one['minutes']:g} min: not reached: {one['not_reached']}"
    return (
        f"{one['text']}, {one['minutes']:g} min: {one['seconds']:.0f} s of "
        f"{one['planned_seconds'] or 60 * one['minutes']:.0f}, loss {one['val_loss']:.4f} of "
        f"{formatted(one['expected_loss'], 'nats')}, memory {megabytes(one['peak_memory'])} of "
        f"{megabytes(one['planned_memory'])}"
    )


def megabytes(count: float | None) -> str:
    """
    >>> megabytes(512_000_000), megabytes(None)
    ('512 MB', '–')
    """
    return "–" if count is None else f"{count / 1e6:,.0f} MB"


def section(result: dict[str, Any]) -> str:
    rows = []
    for one in result["details"]["outcomes"]:
        if "not_reached" in one:
            rows.append(f"| {one['text']} | {one['minutes']:g} | not reached: {one['not_reached']} | | | | | |")
            continue
        low, high = (formatted(one[f"expected_loss_{end}"], "nats") for end in ("low", "high"))
        rows.append(
            f"| {one['text']} | {one['minutes']:g} | {one['planned_seconds'] or 60 * one['minutes']:.0f} s "
            f"| {one['seconds']:.0f} s | {megabytes(one['planned_memory'])} | {megabytes(one['peak_memory'])} "
            f"| {formatted(one['expected_loss'], 'nats')} ({low} to {high}) | {one['val_loss']:.4f} |"
        )
    return "\n".join(
        [
            "## Plan against outcome",
            "",
            "| text | minutes | time planned | taken | memory planned | taken | loss expected | came out |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--texts", default=TEXTS, help=f"names of texts [default: {TEXTS}]")
    parser.add_argument("--text", type=Path, action="append", metavar="PATH", help="and a text of your own")
    parser.add_argument("--minutes", default="1,3,10", metavar="M,M", help="[default: 1,3,10]")


BENCHMARK = Benchmark(
    "plan_against_outcome",
    "what a plan promises beside what came out: time, memory, loss, over texts and budgets",
    measure,
    (
        Row("time", "plan against outcome: time, the worst run", "share", "less", must=0.10),
        Row("memory", "plan against outcome: memory, the worst run", "share", "less", must=0.25),
        Row("loss", "plan against outcome: runs whose loss is in the range that was said", "share", must=0.9),
    ),
    rounds=1,
    add_options=add_options,
    section=section,
)

if __name__ == "__main__":
    BENCHMARK.main()
