"""How much of what the machine can multiply in bfloat16 a whole training step uses."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.pairs import Benchmark, Outcome, Row, Work, ratios
from benchmarks.sides import AS_IT_IS, QUICK, TINY, WARM_UP, Shape, Side, way


def measure(work: Work) -> Outcome:
    """The rate is the mean of those right before and right after the steps, in the same process."""
    shape, blocks, steps, seconds = (TINY, 1, 1, 0.05) if work.smoke else (Shape(), 10, 5, 1.0)
    conditions = QUICK if work.smoke else AS_IT_IS
    step_rates, product_rates = [], []
    facts: dict[str, Any] = {}
    for _ in range(work.rounds):
        with Side("ours", shape, work.folder, conditions) as ours:
            ours.steps(WARM_UP)
            before = ours.ask(f"rate {seconds}")["rate"]
            one = statistics.median(ours.steps(steps) for _ in range(blocks))
            after = ours.ask(f"rate {seconds}")["rate"]
            facts = ours.facts
        step_rates.append(facts["flops"] / one)
        product_rates.append((before + after) / 2)
    return Outcome(
        values={"share": ratios(step_rates, product_rates)},
        sides={"the step": step_rates, "matrix products alone": product_rates},
        unit="FLOP/s",
        ratio_of="the step / matrix products alone",
        notes=[
            way(facts),
            f"products in {facts['dtype']}, 1024 x 1024, the best of those seen; of the step the matrix products "
            "of the model count, forward and backward, and not those of Muon",
        ],
    )


BENCHMARK = Benchmark(
    "share",
    "the whole step's FLOP/s as a share of the machine's rate of bfloat16 matrix products",
    measure,
    (Row("share", "share of the bfloat16 matrix-product rate that the step reaches", "share", must=0.4, aim=0.6),),
)

if __name__ == "__main__":
    BENCHMARK.main()
