"""How much of what the machine can multiply in bfloat16 a whole training step uses."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.pairs import Benchmark, Outcome, Row, Work, ratios
from benchmarks.rounds import Failed, attempt, each, reached
from benchmarks.sides import AS_IT_IS, QUICK, TINY, WARM_UP, Shape, Side, way


def measure(work: Work) -> Outcome:
    """The rate is the mean of those right before and right after the steps, in the same process."""
    shape, blocks, steps, seconds = (TINY, 1, 1, 0.05) if work.smoke else (Shape(), 10, 5, 1.0)
    conditions = QUICK if work.smoke else AS_IT_IS

    def rates() -> tuple[float, float, dict[str, Any]]:
        with Side("ours", shape, work.folder, conditions) as ours:
            if ours.facts["dtype"] != "bfloat16" and not work.smoke:
                raise Failed(f"this is about bfloat16, and here the step is in {ours.facts['dtype']}")
            ours.steps(WARM_UP)
            before = ours.ask(f"rate {seconds}")["rate"]
            one = statistics.median(ours.steps(steps) for _ in range(blocks))
            after = ours.ask(f"rate {seconds}")["rate"]
            return ours.facts["flops"] / one, (before + after) / 2, ours.facts

    rounds = [attempt(rates) for _ in range(work.rounds)]
    step_rates, product_rates = each(rounds, lambda found: found[0]), each(rounds, lambda found: found[1])
    return Outcome(
        values={"share": ratios(step_rates, product_rates)},
        sides={"the step": step_rates, "matrix products alone": product_rates},
        unit="FLOP/s",
        ratio_of="the step / matrix products alone",
        notes=[
            *(way(facts) for _, _, facts in reached(rounds)[:1]),
            "products of 1024 x 1024, the best of those seen; of the step the matrix products of the model count, "
            "forward and backward, and not those of Muon",
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
