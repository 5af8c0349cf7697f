"""The most memory that training takes, against the plain way."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.rounds import attempt
from benchmarks.sides import AS_IT_IS, QUICK, TINY, WARM_UP, Conditions, Shape, Side


def step_memory(side: str, shape: Shape, folder: Path, conditions: Conditions) -> float:
    """MB that a process takes at most, beyond what it had before the model was built."""
    with Side(side, shape, folder, conditions) as process:
        process.steps(WARM_UP)
        found = process.ask("memory")
    return (found["peak"] - found["before"]) / 1e6


def measure(work: Work) -> Outcome:
    shape, conditions = (TINY, QUICK) if work.smoke else (Shape(), AS_IT_IS)
    if not work.smoke:
        attempt(step_memory, "ours", shape, work.folder, conditions)  # compiles: a second run finds the cache warm
    ours, plain = alternate(
        work.rounds,
        lambda: step_memory("ours", shape, work.folder, conditions),
        lambda: step_memory("plain", shape, work.folder, conditions),
    )
    return Outcome(
        values={"memory": ratios(ours, plain)},
        sides={"ours": ours, "plain": plain},
        unit="MB",
        ratio_of="ours / plain",
        notes=[
            "the most that the process had, less what it had before the model was built: what the compiler "
            "loads is in ours"
        ],
    )


BENCHMARK = Benchmark(
    "memory",
    "peak memory of training steps, against the plain way, each in a process of its own",
    measure,
    (Row("memory", "memory of a training step, against the plain way", "times", "less", must=0.8, aim=0.6),),
)

if __name__ == "__main__":
    BENCHMARK.main()
