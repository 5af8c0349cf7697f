"""How much of what the machine can multiply, in the dtype of the step, a whole training step uses."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.pairs import Benchmark, Outcome, Row, Work, ratios
from benchmarks.rounds import attempt, each, reached
from benchmarks.sides import AS_IT_IS, QUICK, TINY, WARM_UP, Shape, Side, way


def measure(work: Work) -> Outcome:
    """The rate is the mean of those right before and right after the steps, in the same process."""
    shape, blocks, steps, seconds = (TINY, 1, 1, 0.05) if work.smoke else (Shape(), 10, 5, 1.0)
    conditions = QUICK if work.smoke else AS_IT_IS

    def rates() -> tuple[float, float, dict[str, Any]]:
        with Side("ours", shape, work.folder, conditions) as ours:
            ours.steps(WARM_UP)
            before = ours.ask(f"rate {seconds}")["rate"]
            one = statistics.median(ours.steps(steps) for _ in range(blocks))
            after = ours.ask(f"rate {seconds}")["rate"]
            return ours.facts["flops"] / one, (before + after) / 2, ours.facts

    rounds = [attempt(rates) for _ in range(work.rounds)]
    dtypes = sorted({facts["dtype"] for _, _, facts in reached(rounds)})
    step_rates, product_rates = each(rounds, lambda found: found[0]), each(rounds, lambda found: found[1])
    return Outcome(
        values={"share": ratios(step_rates, product_rates)},
        sides={"the step": step_rates, "matrix products alone": product_rates},
        unit="FLOP/s",
        ratio_of="the step / matrix products alone",
        notes=[
            *(way(facts) for _, _, facts in reached(rounds)[:1]),
            f"products of 1024 x 1024 in {', '.join(dtypes)}, the best of those seen; of the step the matrix "
            "products of the model count, forward and backward, and not those of Muon",
        ],
    )


BENCHMARK = Benchmark(
    "share",
    "the whole step's FLOP/s as a share of the machine's rate of matrix products in the same dtype",
    measure,
    (
        Row(
            "share",
            "share of the matrix-product rate (in the dtype of the step) that the step reaches",
            "share",
            must=0.4,
            aim=0.6,
        ),
    ),
)

if __name__ == "__main__":
    BENCHMARK.main()
