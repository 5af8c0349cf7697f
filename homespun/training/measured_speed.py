"""How fast this machine trains: measured, in about a second, because no data sheet says.

A few whole training steps of three small models are timed: one whose time goes into products of
matrices, one whose time goes into everything else, and one so small that it goes into starting
operations. What fits the three times best are the three numbers of a Speed.

What a run has really taken is remembered, and corrects what is measured the next time. So is what was
measured, for who has no second to spare.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from homespun.errors import WriteFailed
from homespun.fetch.cache import cache_folder
from homespun.kernels.selfcheck import matmul_rate
from homespun.machine.atomic import write_json
from homespun.machine.contention import check_contention
from homespun.machine.device import autocast, choose_dtype, processor_name
from homespun.model.config import GPTConfig
from homespun.model.families import DEFAULT
from homespun.model.gpt import GPT
from homespun.planning.cost import Speed, Work, work_of_a_step
from homespun.planning.search import Size
from homespun.training.optimizer import Optimizers

STEPS = 3
SECONDS_OF_PRODUCTS = 0.2
SHAPES = (Size(1, 8, 512, 32, 64), Size(2, 4, 64, 256, 8), Size(4, 2, 64, 32, 4))

# What is left of each part of the time in a compiled step, measured over the shapes of benchmarks/growth.py.
COMPILED = Speed(product=0.95, number=0.45, start=0.35)
# The same where operations of our own are compiled in, over nine shapes of 2 to 8 layers, 96 to 512 wide, which
# it hits to 20%. Products take as long as they take alone: in single steps they are too quick to be told apart.
QUICK = Speed(product=1.0, number=0.04, start=0.95)

# A correction is believed this much more than the one before it, and never beyond these bounds.
NEWER = 0.5
BOUNDS = (0.3, 3.0)

FRESH = 86400.0  # seconds for which a measured speed is believed, where time is short


def measured_speed(device: str, dtype: str, at_most: float = math.inf) -> Speed:
    """The Speed of whole training steps here; torch's random state stays as it was.

    at_most: seconds. Where they are over, because something else is at work, no step is timed a second time.
    """
    timed, deadline = [], time.monotonic() + at_most
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for size in SHAPES:
            config, sequences = size.config(DEFAULT, 128), size.batch_size
            seconds = seconds_of_a_step(config, sequences, device, dtype, deadline)
            timed.append((work_of_a_step(config, sequences), seconds))
    return fitted(timed)


def seconds_of_a_step(
    config: GPTConfig, sequences: int, device: str, dtype: str, deadline: float = math.inf
) -> float:
    """The median of some steps; of a single one when time.monotonic() is beyond the deadline."""
    model = GPT(config).to(device)
    computed_in = choose_dtype(dtype, torch.device(device))
    optimizers = Optimizers(model, kind="muon", learning_rate=0.0, weight_decay=0.0, dtype=computed_in)
    context = autocast(device, computed_in)
    ids = torch.randint(config.vocab_size, (sequences, config.context_length + 1), device=device)
    seconds = []
    for _ in range(1 + STEPS):  # the first one warms up
        check_contention()
        began = time.perf_counter()
        with context():
            _, loss = model(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizers.step(1.0)
        loss.item()  # a GPU has finished only when it has told the result
        seconds.append(time.perf_counter() - began)
        if len(seconds) > 1 and time.monotonic() > deadline:
            break
    return statistics.median(seconds[1:])


def fitted(timed: list[tuple[Work, float]]) -> Speed:
    """The Speed that comes closest to those times, each counted by its share; no part of it is below nothing.

    >>> speed = fitted([(Work(1e9, 1e6, 2.0), 0.013), (Work(1e8, 5e6, 3.0), 0.009), (Work(1e7, 1e5, 5.0), 0.0052)])
    >>> [float(f"{part:.2g}") for part in (speed.product, speed.number, speed.start)]
    [1e-11, 1e-09, 0.001]
    """
    rows = np.array([[work.products, work.numbers, work.starts] for work, _ in timed])
    seconds = np.array([taken for _, taken in timed])
    rows = rows / seconds[:, None]
    parts = [0, 1, 2]
    while True:  # a part that would be negative is noise around nothing: without it
        found, *_ = np.linalg.lstsq(rows[:, parts], np.ones(len(seconds)), rcond=None)
        if (found >= 0).all() or len(parts) == 1:
            break
        parts.pop(int(found.argmin()))
    whole = np.zeros(3)
    whole[parts] = np.abs(found)
    return Speed(*map(float, whole))


def compiled_way(device: str, dtype: str, at_most: float = math.inf) -> str:
    """How a compiled step is computed here: "compiled", or "quick" with operations of our own.

    at_most: seconds to wait for these, where they are not compiled yet.
    """
    from homespun.kernels.select import has_training_kernels

    return "quick" if has_training_kernels(device, dtype, at_most) else "compiled"


def compiled(speed: Speed, way: str) -> Speed:
    """What to expect of compiled steps where single operations have that speed."""
    left, product = COMPILED, speed.product
    if way == "quick":
        with torch.random.fork_rng():
            left, product = QUICK, 1 / matmul_rate(torch.device("cpu"), torch.bfloat16, SECONDS_OF_PRODUCTS)
    return Speed(product * left.product, speed.number * left.number, speed.start * left.start)


@dataclass(frozen=True)
class Memory:
    """What is known of this machine from before.

    That is what earlier runs have taken, held against what was foretold, one number a way of computing;
    and the speed that was measured last.
    """

    device: str
    dtype: str

    def correction(self, way: str) -> float:
        """Times what is foretold for "eager", "compiled" or "quick"; 1 where no run was remembered."""
        value = self.read().get(way, 1.0)
        return value if isinstance(value, float) and BOUNDS[0] <= value <= BOUNDS[1] else 1.0

    def remember(self, way: str, ratio: float) -> None:
        """ratio: what the steps of a run took, over what was foretold without any correction."""
        if not math.isfinite(ratio) or ratio <= 0:
            return
        before = self.correction(way) if way in self.read() else ratio
        mixed = math.exp((1 - NEWER) * math.log(before) + NEWER * math.log(ratio))
        self.write(way, min(max(mixed, BOUNDS[0]), BOUNDS[1]))

    def speed(self) -> Speed | None:
        """As it was measured last, without corrections; None where that was longer ago than FRESH."""
        match self.read().get("measured"):
            case [float(when), *parts] if 0 <= time.time() - when < FRESH and len(parts) == 3:
                if all(isinstance(part, float) and 0 <= part < math.inf for part in parts) and sum(parts):
                    return Speed(*parts)
        return None

    def remember_speed(self, speed: Speed) -> None:
        self.write("measured", [time.time(), speed.product, speed.number, speed.start])

    def write(self, name: str, value: float | list[float]) -> None:
        try:
            write_json(cache_folder("speed") / f"{self.key}.json", self.read() | {name: value})
        except WriteFailed:
            return  # a cache that cannot be written forgets

    def read(self) -> dict[str, Any]:
        try:
            found = json.loads((cache_folder("speed") / f"{self.key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, WriteFailed):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def key(self) -> str:
        facts = [
            processor_name(),
            platform.machine(),
            torch.__version__,
            torch.get_num_threads(),
            self.device,
            self.dtype,
            repr((COMPILED, QUICK)),  # a correction is one of these
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
