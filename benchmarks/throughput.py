"""Tokens a second of whole training steps, ours against the plain way, at one shape."""

from __future__ import annotations

from benchmarks.pairs import Benchmark, Outcome, Row, Work
from benchmarks.rounds import attempt, each, reached
from benchmarks.sides import AS_IT_IS, QUICK, TINY, Shape, measured_pair, way


def measure(work: Work) -> Outcome:
    shape, blocks, steps = (TINY, 1, 1) if work.smoke else (Shape(), 10, 5)
    conditions = QUICK if work.smoke else AS_IT_IS
    pairs = [
        attempt(measured_pair, shape, work.folder, blocks=blocks, steps=steps, conditions=conditions)
        for _ in range(work.rounds)
    ]
    tokens = shape.sequences * shape.context
    return Outcome(
        values={"throughput": each(pairs, lambda pair: pair.ratio)},
        sides={
            "ours": each(pairs, lambda pair: tokens / pair.ours),
            "plain": each(pairs, lambda pair: tokens / pair.plain),
        },
        unit="tokens/s",
        ratio_of="ours / plain",
        notes=[
            *(way(pair.facts) for pair in reached(pairs)[:1]),
            f"each round: two fresh processes, {blocks} blocks of {steps} steps in turn",
        ],
    )


BENCHMARK = Benchmark(
    "throughput",
    "tokens a second of whole training steps, against the plain way (eager, float32, AdamW)",
    measure,
    (
        Row(
            "throughput",
            "training throughput: 4 layers, 256 wide, context 128, 32 sequences",
            "times",
            must=4,
            aim=6,
        ),
    ),
)

if __name__ == "__main__":
    BENCHMARK.main()
