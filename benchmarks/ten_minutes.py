"""What `homespun train shakespeare --minutes 10` reaches: as benchmarks.minutes, apart because it takes long."""

from __future__ import annotations

from benchmarks.minutes import measured
from benchmarks.pairs import Benchmark, Outcome, Row, Work


def measure(work: Work) -> Outcome:
    """The first round compiles its step while it trains, and says so: half a minute of the ten."""
    return measured(work, {"10 minutes": 0.1 if work.smoke else 10.0}, warm=False)


BENCHMARK = Benchmark(
    "ten_minutes",
    "the loss that ten minutes buy on tiny Shakespeare, and whether they were kept",
    measure,
    (
        Row(
            "10 minutes",
            "`train shakespeare --minutes 10`: loss of the whole validation split",
            "nats",
            "less",
            must=1.44,
            aim=1.41,
        ),
        Row("time", "how far its time was off", "share", "less", must=0.1),
    ),
)

if __name__ == "__main__":
    BENCHMARK.main()
