"""How long a person waits for the first training step, the first time on a machine and the second."""

from __future__ import annotations

from benchmarks.commands import TINY, environment, seconds_to_first_step, shakespeare
from benchmarks.minutes import COMPILES_FOR
from benchmarks.pairs import Benchmark, Outcome, Row, Work
from benchmarks.rounds import attempt, each


def measure(work: Work) -> Outcome:
    """Cold: neither compiled code, nor a prepared text, nor a remembered self-test."""
    text = shakespeare(work.folder, work.smoke)
    arguments = [text, "--steps", "2", *TINY] if work.smoke else [text, "--minutes", "3"]
    outcome = Outcome(values={}, unit="s")

    def both(number: int) -> tuple[float, float]:
        """Where the cold one fails there is nothing that would be warm."""
        caches = environment(work.folder, f"caches-{number}")
        go_on = 0.0 if work.smoke else COMPILES_FOR
        out = work.folder / f"run-{number}"
        cold = seconds_to_first_step(arguments, out=out / "cold", environment=caches, go_on=go_on)
        return cold, seconds_to_first_step(arguments, out=out / "warm", environment=caches)

    rounds = [attempt(both, number) for number in range(work.rounds)]
    outcome.sides = {"cold": each(rounds, lambda found: found[0]), "warm": each(rounds, lambda found: found[1])}
    outcome.values = dict(outcome.sides)
    outcome.notes.append("from the start of the process; the text is on the disk, nothing is downloaded")
    return outcome


BENCHMARK = Benchmark(
    "first_step",
    "seconds from Enter to the first training step that is done",
    measure,
    (
        Row("cold", "first step after start, all caches cold", "s", "less", must=6, aim=2),
        Row("warm", "the same, the second time", "s", "less"),
    ),
)

if __name__ == "__main__":
    BENCHMARK.main()
