"""The training speed of this machine, measured in about a second, because no data sheet has it.

A few whole training steps of three small models are timed: one dominated by matrix products, one
dominated by elementwise operations, and one so small that the overhead of launching operations
dominates. A least-squares fit to the three times gives the three values of a Speed.

The real step time of a run is remembered, and corrects the next measurement. The measurement itself
is remembered too, for runs too short to measure.
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
from homespun.kernels.select import with_step_kernels
from homespun.kernels.selfcheck import matmul_rate
from homespun.machine.accelerator import accelerator_name, use_tensor_cores
from homespun.machine.atomic import write_json
from homespun.machine.contention import check_contention
from homespun.machine.device import autocast, choose_dtype, processor_name
from homespun.model.config import GPTConfig
from homespun.model.families import DEFAULT
from homespun.model.gpt import GPT
from homespun.planning.cost import Speed, Work, work_of_a_step
from homespun.planning.facts import kind_of
from homespun.planning.search import Size
from homespun.training.optimizer import Optimizers

STEPS, WARMUP = 3, 1
WARMUP_ON_GPU = 4  # its libraries choose kernels, and its allocator asks the driver for memory
SECONDS_OF_PRODUCTS = 0.2
SHAPES = (Size(1, 8, 512, 32, 64), Size(2, 4, 64, 256, 8), Size(4, 2, 64, 32, 4))
# A GPU would spend the time of the first two in launching operations: it gets larger ones.
SHAPES_ON_GPU = (Size(2, 16, 1024, 1024, 16), Size(2, 4, 128, 256, 256), Size(8, 2, 64, 32, 4))

# What is left of each part of the time in a compiled step, measured over the shapes of benchmarks/growth.py.
COMPILED = Speed(product=0.95, number=0.45, start=0.35)
# The same where operations of our own are compiled in, over nine shapes of 2 to 8 layers, 96 to 512 wide, which
# it hits to 20%. Products take as long as they take alone: in single steps they are too quick to be told apart.
QUICK = Speed(product=1.0, number=0.04, start=0.95)
# On a GPU. An estimate that no run has checked; the first run on a device corrects it (`Memory`).
COMPILED_ON_GPU = Speed(product=1.0, number=0.4, start=0.2)

# A new correction gets this weight against the earlier ones, and never leaves these bounds.
NEWER = 0.5
BOUNDS = (0.3, 3.0)

FRESH = 86400.0  # seconds for which a measured speed stays valid, where time is short


def measured_speed(device: str, dtype: str, at_most: float = math.inf, *, kernels: bool = False) -> Speed:
    """The Speed of whole training steps on this machine. Torch's random state is not changed.

    at_most: seconds. After that, which happens when the machine is busy, every shape is timed only once.
    kernels: with the native kernels that compute steps without torch.compile; they have to be available.
    """
    timed, deadline = [], time.monotonic() + at_most
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for size in SHAPES if kind_of(device) == "cpu" else SHAPES_ON_GPU:
            config, sequences = size.config(DEFAULT, 128), size.batch_size
            seconds = seconds_of_a_step(config, sequences, device, dtype, deadline, kernels=kernels)
            timed.append((work_of_a_step(config, sequences), seconds))
    return fitted(timed)


def seconds_of_a_step(
    config: GPTConfig,
    sequences: int,
    device: str,
    dtype: str,
    deadline: float = math.inf,
    *,
    kernels: bool = False,
) -> float:
    """The median of some steps; the time of a single one if time.monotonic() is beyond the deadline."""
    use_tensor_cores(device)
    model = GPT(config).to(device)
    computed_in = choose_dtype(dtype, torch.device(device))
    optimizers = Optimizers(model, kind="muon", learning_rate=0.0, weight_decay=0.0, dtype=computed_in)
    context = autocast(device, computed_in)
    forward = with_step_kernels(model, device, computed_in) if kernels else model
    if forward is not model:
        optimizers.use_native_kernels()
    ids = torch.randint(config.vocab_size, (sequences, config.context_length + 1), device=device)
    seconds = []
    warmup = WARMUP if kind_of(device) == "cpu" else WARMUP_ON_GPU
    for _ in range(warmup + STEPS):
        check_contention()
        began = time.perf_counter()
        with context():
            _, loss = forward(ids[:, :-1], ids[:, 1:])
        loss.backward()
        optimizers.step(1.0)
        loss.item()  # waits until a GPU has finished
        seconds.append(time.perf_counter() - began)
        if len(seconds) > 1 and time.monotonic() > deadline:
            break
    return statistics.median(seconds[min(warmup, len(seconds) - 1) :])


def fitted(timed: list[tuple[Work, float]]) -> Speed:
    """The Speed that fits those times best, by relative error; none of its values is negative.

    >>> speed = fitted([(Work(1e9, 1e6, 2.0), 0.013), (Work(1e8, 5e6, 3.0), 0.009), (Work(1e7, 1e5, 5.0), 0.0052)])
    >>> [float(f"{part:.2g}") for part in (speed.product, speed.number, speed.start)]
    [1e-11, 1e-09, 0.001]
    """
    rows = np.array([[work.products, work.numbers, work.starts] for work, _ in timed])
    seconds = np.array([taken for _, taken in timed])
    rows = rows / seconds[:, None]
    parts = [0, 1, 2]
    while True:  # a negative value is noise around zero: fit without it
        found, *_ = np.linalg.lstsq(rows[:, parts], np.ones(len(seconds)), rcond=None)
        if (found >= 0).all() or len(parts) == 1:
            break
        parts.pop(int(found.argmin()))
    whole = np.zeros(3)
    whole[parts] = np.abs(found)
    return Speed(*map(float, whole))


def uncompiled_way(kernels: bool) -> str:
    """How a step that is not compiled is computed: "kernels", or "eager" by PyTorch."""
    return "kernels" if kernels else "eager"


def compiled_way(device: str, dtype: str, at_most: float = math.inf) -> str:
    """How a compiled step is computed here: "compiled", "quick" with our native kernels, or "compiled on GPU".

    at_most: seconds to wait for the native kernels, if they are not compiled yet.
    """
    from homespun.kernels.select import has_training_kernels

    if kind_of(device) == "cuda":
        return "compiled on GPU"
    return "quick" if has_training_kernels(device, dtype, at_most) else "compiled"


def compiled(speed: Speed, way: str) -> Speed:
    """The expected Speed of compiled steps, given the Speed of eager steps."""
    left, product = COMPILED_ON_GPU if way == "compiled on GPU" else COMPILED, speed.product
    if way == "quick":
        with torch.random.fork_rng():
            left, product = QUICK, 1 / matmul_rate(torch.device("cpu"), torch.bfloat16, SECONDS_OF_PRODUCTS)
    return Speed(product * left.product, speed.number * left.number, speed.start * left.start)


def measured_by(way: str) -> str:
    """The name under which a speed is remembered."""
    return "measured" if way == "eager" else f"measured {way}"


@dataclass(frozen=True)
class Memory:
    """What is remembered about this machine's speed.

    For each backend, the ratio of measured to forecast step times in earlier runs; and the speed that was
    measured last.
    """

    device: str
    dtype: str

    def correction(self, way: str) -> float:
        """The factor on the forecast for "eager", "kernels", "compiled", …; 1 if no run is remembered."""
        value = self.read().get(way, 1.0)
        return value if isinstance(value, float) and BOUNDS[0] <= value <= BOUNDS[1] else 1.0

    def remember(self, way: str, ratio: float) -> None:
        """ratio: measured step time of a run / its forecast without any correction."""
        if not math.isfinite(ratio) or ratio <= 0:
            return
        before = self.correction(way) if way in self.read() else ratio
        mixed = math.exp((1 - NEWER) * math.log(before) + NEWER * math.log(ratio))
        self.write(way, min(max(mixed, BOUNDS[0]), BOUNDS[1]))

    def speed(self, way: str = "eager") -> Speed | None:
        """The last measured speed of "eager" steps or with "kernels", uncorrected; None if older than FRESH."""
        match self.read().get(measured_by(way)):
            case [float(when), *parts] if 0 <= time.time() - when < FRESH and len(parts) == 3:
                if all(isinstance(part, float) and 0 <= part < math.inf for part in parts) and sum(parts):
                    return Speed(*parts)
        return None

    def remember_speed(self, speed: Speed, way: str = "eager") -> None:
        self.write(measured_by(way), [time.time(), speed.product, speed.number, speed.start])

    def write(self, name: str, value: float | list[float]) -> None:
        try:
            write_json(cache_folder("speed") / f"{self.key}.json", self.read() | {name: value})
        except WriteFailed:
            return  # without a writable cache nothing is remembered

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
            accelerator_name(self.device),
            self.dtype,
            repr((COMPILED, QUICK, COMPILED_ON_GPU)),  # corrections are relative to these
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
