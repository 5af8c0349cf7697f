"""How much sooner than nanoGPT's recipe for a CPU we are where that recipe ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.commands import TINY, environment, shakespeare, train
from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios

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
    "evaluate_every=200",
):
    RECIPE += ["--set", setting]
# The shortest run that goes on beyond the loss; one so short compiles nothing, so its caches may be cold.
OURS = ["--minutes", "0.5"]
WHOLE = ["--set", "look_tokens=0"]  # every evaluation reads the whole validation split


def measure(work: Work) -> Outcome:
    """Each side's seconds are those of its first evaluation at or under the loss, counted from process start."""
    text = shakespeare(work.folder, work.smoke)
    ours, recipe = [text, *OURS, *WHOLE], [text, *RECIPE, *WHOLE]
    if work.smoke:
        ours, recipe = [text, "--steps", "2", *TINY], [text, "--steps", "4", *TINY]
    caches = environment(work.folder)
    # An empty GLIBC_TUNABLES is one that the user has set: the command leaves the allocator as it is.
    plainly = {**caches, "GLIBC_TUNABLES": ""}
    outcome = Outcome(values={}, unit="s", ratio_of="plain / ours")

    def run(side: str, arguments: list[str], environment: dict[str, str]) -> float:
        out = free(work.folder / side)
        records = train(arguments, out=out, environment=environment).records
        outcome.details.setdefault(side, []).append(
            [{name: record[name] for name in ("step", "seconds", "val_loss")} for record in records]
        )
        reached = first_at(LOSS, records)
        if reached is None:
            last = records[-1]
            outcome.notes.append(f"{side} did not get to {LOSS}: its end, {last['val_loss']:.4f}, is what counts")
            return float(last["seconds"])
        return float(reached["seconds"])

    seconds = alternate(work.rounds, lambda: run("ours", ours, caches), lambda: run("plain", recipe, plainly))
    outcome.sides = dict(zip(("ours", "plain"), seconds, strict=True))
    outcome.values["sooner"] = ratios(outcome.sides["plain"], outcome.sides["ours"])
    outcome.notes.append(
        "the recipe decays to a tenth of the learning rate and has beta2 = 0.99; here it decays to nothing with "
        "0.95, which no setting changes, and its AdamW is PyTorch's fused one. Both sides are seen at evaluations "
        "only, which count in the time"
    )
    return outcome


def first_at(loss: float, records: list[dict[str, Any]]) -> dict[str, Any] | None:
    """
    >>> first_at(1.9, [{"val_loss": 2.0}, {"val_loss": 1.8}, {"val_loss": 1.7}])
    {'val_loss': 1.8}
    """
    return next((record for record in records if record["val_loss"] <= loss), None)


def free(path: Path) -> Path:
    """A folder of that name with a number, that is not there yet."""
    return next(other for n in range(10**6) if not (other := path.with_name(f"{path.name}-{n}")).exists())


BENCHMARK = Benchmark(
    "time_to_loss",
    f"seconds until the validation loss is {LOSS}, against nanoGPT's recipe for a CPU",
    measure,
    (Row("sooner", f"time to a loss of {LOSS}, against nanoGPT's recipe for a CPU", "times", must=8, aim=15),),
)

if __name__ == "__main__":
    BENCHMARK.main()
