"""Both sides of a training step, each in a process of its own, taking turns; see `step` for what they do."""

from __future__ import annotations

import os
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.rounds import Failed, check_loss, check_same
from benchmarks.worker import Worker
from homespun.machine.allocator import tunables
from homespun.machine.threads import SPINS

WARM_UP = 5  # steps before anything is timed: the first compiles, the next ones settle the memory


@dataclass(frozen=True)
class Shape:
    """What a step computes: a `modern` model and a batch for it. The default is that of the table."""

    layers: int = 4
    heads: int = 4
    width: int = 256
    context: int = 128
    sequences: int = 32
    vocabulary: int = 65

    def with_(self, **changes: int) -> Shape:
        return replace(self, **changes)


TINY = Shape(layers=1, heads=1, width=16, context=16, sequences=2)


@dataclass(frozen=True)
class Conditions:
    """What the machine is to have. `environment` is set for both sides, the rest is for ours.

    about: the dtype of ours, and whether it is compiled, where what is measured is about that
    """

    dtype: str = "auto"
    eager: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    about: tuple[str, bool] | None = None

    def check(self, facts: dict[str, Any]) -> None:
        """Raises Failed where this machine has not what it is about: matrix units, or a compiler."""
        here = (facts["dtype"], facts["compiled"])
        if self.about is not None and self.about != here:
            wanted, found = (f"{'compiled' if c else 'eager'} steps in {dtype}" for dtype, c in (self.about, here))
            raise Failed(f"this is about {wanted}, and here there are {found}")


AS_IT_IS = Conditions()
QUICK = Conditions(eager=True)  # for --smoke: compiling takes longer than everything else


class Side(Worker):
    """`with Side("ours", …) as ours: ours.steps(5)`; while one is asked the other one waits."""

    def __init__(self, side: str, shape: Shape, folder: Path, conditions: Conditions = AS_IT_IS) -> None:
        command = [sys.executable, "-m", "benchmarks.step", side, "--dtype", conditions.dtype]
        command += ["--eager"] if conditions.eager else []
        for name, value in asdict(shape).items():
            command += [f"--{name}", str(value)]
        super().__init__(command, side, env=environment(side, folder) | dict(conditions.environment))
        self.facts = self.answer()

    def steps(self, number: int) -> float:
        """Seconds for one step, over `number` of them. Raises Failed where the loss is no number any more."""
        found = self.ask(f"steps {number}")
        check_loss(found["loss"], self.side)
        return float(found["seconds"]) / number


def environment(side: str, folder: Path) -> dict[str, str]:
    """Ours starts as the command starts itself; the plain way as Python comes."""
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    kept["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    if side == "ours":
        kept |= {"GLIBC_TUNABLES": tunables(), "GOMP_SPINCOUNT": str(SPINS)}
    return kept


@dataclass(frozen=True)
class Pair:
    """A pair of processes, measured: seconds a step of each, and plain / ours, the median over the blocks."""

    ours: float
    plain: float
    ratio: float
    facts: dict[str, Any]


def measured_pair(
    shape: Shape, folder: Path, *, blocks: int, steps: int, conditions: Conditions = AS_IT_IS
) -> Pair:
    """Two fresh processes that take turns: a block of steps of ours, one of the plain way, and again.

    Raises Failed where one fails, where they do not do the same work, and where `conditions` are not met.
    """
    with Side("ours", shape, folder, conditions) as ours, Side("plain", shape, folder, conditions) as plain:
        conditions.check(ours.facts)
        for fact in ("tokens", "parameters", "threads"):
            check_same(fact, ours=ours.facts[fact], plain=plain.facts[fact])
        for side in (ours, plain):
            side.steps(WARM_UP)
        seconds = [(ours.steps(steps), plain.steps(steps)) for _ in range(blocks)]
        return Pair(
            statistics.median(a for a, _ in seconds),
            statistics.median(b for _, b in seconds),
            statistics.median(b / a for a, b in seconds),
            ours.facts,
        )


def way(facts: dict[str, Any]) -> str:
    """What our side was, for a note.

    >>> way({"dtype": "bfloat16", "how": "compiled", "threads": 2})
    'ours: bfloat16, compiled, Muon; 2 threads on both sides'
    """
    return f"ours: {facts['dtype']}, {facts['how']}, Muon; {facts['threads']} threads on both sides"
