"""On a machine without matrix units, or without a compiler: never slower than the plain way."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pairs import Benchmark, Outcome, Row, Work
from benchmarks.rounds import attempt, each, reached
from benchmarks.sides import TINY, Conditions, Shape, measured_pair, way

AVX512 = (("ONEDNN_MAX_CPU_ISA", "AVX512_CORE"),)
AVX2 = (("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ATEN_CPU_CAPABILITY", "avx2"), ("MKL_ENABLE_INSTRUCTIONS", "AVX2"))


def cases(folder: Path) -> tuple[Conditions, ...]:
    """What is switched off by hand, for each of ROWS. A PATH with nothing in it has no compiler in it, either."""
    nothing = folder / "nothing"
    nothing.mkdir(exist_ok=True)
    no_compiler = (("PATH", str(nothing)), ("CXX", ""))
    return (
        Conditions("float32", environment=AVX512 + no_compiler, about=("float32", False)),
        Conditions("float32", environment=AVX2 + no_compiler, about=("float32", False)),
        Conditions(environment=no_compiler, about=("bfloat16", False)),
        Conditions("float32", environment=AVX512, about=("float32", True)),
    )


def measure(work: Work) -> Outcome:
    shape, blocks, steps = (TINY, 1, 1) if work.smoke else (Shape(), 6, 3)
    outcome = Outcome(values={}, unit="tokens/s", ratio_of="ours / plain")
    tokens = shape.sequences * shape.context
    for row, conditions in zip(ROWS, cases(work.folder), strict=True):
        if work.smoke and row is not ROWS[0]:
            break  # the others compile
        pairs = [
            attempt(measured_pair, shape, work.folder, blocks=blocks, steps=steps, conditions=conditions)
            for _ in range(work.rounds)
        ]
        outcome.values[row.key] = each(pairs, lambda pair: pair.ratio)
        outcome.sides[f"ours, {row.key}"] = each(pairs, lambda pair: tokens / pair.ours)
        outcome.sides[f"plain, {row.key}"] = each(pairs, lambda pair: tokens / pair.plain)
        outcome.notes += [f"{row.key}: {way(pair.facts)}" for pair in reached(pairs)[:1]]
    return outcome


ROWS = (
    Row(
        "neither", "throughput against the plain way, without matrix units and without a compiler", "times", must=1
    ),
    Row("AVX2 only", "the same with AVX2 only and without a compiler", "times", must=1),
    Row("no compiler", "the same with matrix units, without a compiler", "times", must=1),
    Row("no matrix units", "the same without matrix units, with a compiler", "times", must=1),
)

BENCHMARK = Benchmark(
    "plain_machine",
    "training where matrix units or the compiler are switched off, on both sides, against the plain way",
    measure,
    ROWS,
)

if __name__ == "__main__":
    BENCHMARK.main()
