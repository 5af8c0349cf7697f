"""SmolLM2-135M, fine-tuned in four bits on Python's standard library: what it then makes of packages it never saw.

Of the library some packages are held out. Before and after, their bits per byte are measured, in windows as long
as the rows that were trained on; and the most memory that the command held is read from its own answer.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from benchmarks.finetune_speed import tuned_model
from benchmarks.pairs import ROOT, Benchmark, Outcome, Row, Work
from benchmarks.rounds import Failed, Value, attempt, each, reached
from benchmarks.sides import environment

HELD_OUT = ("asyncio", "email", "http", "json", "sqlite3", "xml")
# Tests, tables and translations are code of another kind, and there is more of it than of all else.
LEFT_OUT = ("test", "tests", "idlelib", "lib2to3", "encodings", "pydoc_data", "turtledemo", "site-packages")
GIB = 2**30
WINDOWS = 400  # of the packages held out, spread over them


MINUTES, METHOD = 10.0, "qlora"  # what the rows are about


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of fine-tuning [default: 10]")
    parser.add_argument("--method", default=METHOD, help="qlora, lora or full [default: qlora]")


def measure(work: Work) -> Outcome:
    trained, held_out = divided(work.folder)
    rounds = [attempt(one_round, work, number, trained, held_out) for number in range(work.rounds)]
    values: dict[str, list[Value]] = {
        "finetune_code": each(rounds, lambda found: 1 - found["after"] / found["before"]),
        "finetune_memory": each(rounds, lambda found: found["peak_memory"] / GIB),
    }
    as_named = (work.options.minutes, work.options.method) == (MINUTES, METHOD)
    return Outcome(
        values=values if as_named else {},
        sides={
            "before": each(rounds, lambda found: found["before"]),
            "after": each(rounds, lambda found: found["after"]),
        },
        unit="bits per byte of the packages held out",
        notes=[
            f"held out: {', '.join(HELD_OUT)}; {work.options.minutes:g} minutes with --{work.options.method}",
            "the memory is that of the whole process, from its start to its end",
        ],
        details={"runs": reached(rounds)},
    )


def divided(folder: Path) -> tuple[Path, Path]:
    """The standard library in two folders: to learn from, and held out."""
    library = Path(sysconfig.get_paths()["stdlib"])
    trained, held_out = folder / "trained", folder / "held-out"
    for file in sorted(library.rglob("*.py")):
        place = file.relative_to(library)
        if set(place.parts[:-1]) & set(LEFT_OUT) or place.parts[0].startswith("config-"):
            continue
        target = (held_out if place.parts[0] in HELD_OUT else trained) / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return trained, held_out


def one_round(work: Work, number: int, trained: Path, held_out: Path) -> dict[str, Any]:
    out = work.folder / f"run-{number}"
    how_long = ["--steps", "2"] if work.smoke else ["--minutes", str(work.options.minutes)]
    model = str(tuned_model(work)) if work.smoke else "smollm2"
    text = trained / "collections" if work.smoke else trained
    command = [sys.executable, "-m", "homespun", "finetune", model, str(text), f"--{work.options.method}"]
    command += [*how_long, "--out", str(out), "--seed", str(1337 + number), "--json"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment("plain", work.folder), stdout=subprocess.PIPE, text=True
    )
    if ended.returncode:
        raise Failed(f"homespun finetune ended with {ended.returncode}")
    found: dict[str, Any] = json.loads(ended.stdout)
    windows = 4 if work.smoke else WINDOWS
    before, after = (bits_per_byte(opened, held_out, out, windows) for opened in (model, out))
    kept = (
        "steps",
        "seconds",
        "peak_memory",
        "bits_per_byte_before",
        "bits_per_byte",
        "general_before",
        "general",
    )
    return {"before": before, "after": after} | {name: found[name] for name in kept}


def bits_per_byte(model: str | Path, text: Path, run: Path, windows: int) -> float:
    """Of that text, in windows of the length of the run's rows."""
    import homespun
    from homespun.evaluation.loss import evaluate
    from homespun.planning.tuning_plan import TuningPlan

    opened = homespun.load(model)
    split = opened.split_of(text)
    length = TuningPlan.load(run / "plan.toml").context_length
    opened.model.config = opened.model.config.with_(context_length=length)  # type: ignore[union-attr]
    return evaluate(opened.model, split, windows=windows, autocast=opened.autocast()).bits_per_byte


BENCHMARK = Benchmark(
    "finetune_code",
    "QLoRA on SmolLM2-135M: bits per byte of packages held out, and the peak of memory",
    measure,
    (
        Row(
            "finetune_code",
            "QLoRA for 10 minutes on Python's standard library: bits per byte of packages held out, lower by",
            "share",
            must=0.05,
            aim=0.15,
        ),
        Row("finetune_memory", "peak memory of that QLoRA run", "GiB", "less", must=1.2, aim=0.8),
    ),
    rounds=1,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
