"""Generation and a training step while other programs use all cores, beside the same without them.

Two kinds of other programs, each in a session of its own, as programs that somebody else has started are: loops
in Python, one for each core, and programs that multiply matrices with as many PyTorch threads as there are cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from benchmarks.generation import model_to_write, prompt
from benchmarks.pairs import Benchmark, Outcome, Row, Work, ratios
from benchmarks.rounds import Value, attempt, each
from benchmarks.sides import AS_IT_IS, QUICK, TINY, WARM_UP, Shape, Side, way
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.machine.device import usable_cores

WRITTEN = 240  # tokens a text; with the prompt of 8 they fill the window
SETTLED = 1.0  # seconds beside the others before anything counts: they are noticed four times a second

# All end by themselves when nobody is left who would end them.
READY = "import os\nparent = os.getppid()\nprint('ready', flush=True)\n"
LOOP = READY + "while os.getppid() == parent:\n    for _ in range(1_000_000): pass\n"
PROGRAM = "import torch\nx = torch.randn(512, 512)\n" + READY + "while os.getppid() == parent: torch.tanh(x @ x)\n"
# Threads that never wait for each other: what they get is the fair share of a program that has so many.
FAIR = "import os\nfor _ in range({others}):\n    if not os.fork(): break\n" + LOOP


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--eager", action="store_true", help="the training step is not compiled")


def others(cores: int) -> dict[str, list[str]]:
    """The two kinds of other programs, by the names that the rows have."""
    return {"loops": [LOOP] * cores, "programs": [PROGRAM] * (cores + 1)}


@contextlib.contextmanager
def beside(programs: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A context in which these programs run; they have begun."""
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
        for program in programs
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield started
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def fair_share(programs: Sequence[str], threads: int, seconds: float) -> float:
    """Share of the cores that a program of so many threads gets beside the others."""
    with beside(programs), beside([FAIR.format(others=threads - 1)]) as (fair,):
        time.sleep(seconds / 4)
        processes = [psutil.Process(fair.pid), *psutil.Process(fair.pid).children()]
        before, began = processor_time(processes), time.perf_counter()
        time.sleep(seconds)
        used, passed = processor_time(processes) - before, time.perf_counter() - began
    return used / passed / usable_cores()


def processor_time(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@dataclass
class Rates:
    """What a round has come to: a rate quiet, and by the kind of others; and their fair shares."""

    quiet: Value
    busy: dict[str, Value]


def measure(work: Work) -> Outcome:
    seconds = 0.2 if work.smoke else 3.0
    kinds = others(usable_cores())
    model = model_to_write(work)
    engine = Engine(model, weights="float32", streams=1, wait=True)
    shape, conditions = (TINY, QUICK) if work.smoke else (Shape(), QUICK if work.options.eager else AS_IT_IS)
    tokens: list[Rates] = []
    steps: list[Rates] = []
    shares: list[dict[str, float]] = []
    with Side("ours", shape, work.folder, conditions) as side:
        attempt(side.steps, WARM_UP)
        attempt(tokens_a_second, engine, min(SETTLED, seconds))
        for _ in range(work.rounds):
            tokens.append(rates(lambda seconds: tokens_a_second(engine, seconds), kinds, seconds))
            steps.append(rates(lambda seconds: steps_a_second(side, seconds), kinds, seconds))
            threads = side.facts["threads"]
            shares.append({kind: fair_share(programs, threads, seconds) for kind, programs in kinds.items()})
        facts = side.facts
    outcome = Outcome(
        values={},
        unit="a second",
        ratio_of="busy / quiet",
        sides={"tokens, quiet": [round.quiet for round in tokens]},
        notes=[
            f"generation: {type(getattr(engine.runner, 'step', None)).__name__}, weights in float32, at most "
            f"{torch.get_num_threads()} threads, {model.number_of_parameters():,} random weights, one text",
            f"the step: {way(facts).partition(';')[0].removeprefix('ours: ')}, {facts['threads']} threads, "
            f"{facts['parameters']:,} parameters",
            f"the others: {len(kinds['loops'])} loops in Python; {len(kinds['programs'])} programs with "
            f"{usable_cores()} PyTorch threads each",
            "fair share: what a program of as many threads gets that never wait for each other",
        ],
    )
    for kind in kinds:
        busy_tokens = [round.busy[kind] for round in tokens]
        fair: list[Value] = [share[kind] for share in shares]
        outcome.values[f"tokens_{kind}"] = busy_tokens
        outcome.values[f"generation_{kind}"] = ratios(busy_tokens, [round.quiet for round in tokens])
        expected = [fair_rate(round.quiet, share[kind]) for round, share in zip(steps, shares, strict=True)]
        outcome.values[f"step_{kind}"] = ratios([round.busy[kind] for round in steps], expected)
        outcome.sides[f"tokens, {kind}"] = busy_tokens
        outcome.sides[f"steps, {kind}"] = [round.busy[kind] for round in steps]
        outcome.sides[f"fair share, {kind}"] = fair
    outcome.sides["steps, quiet"] = [round.quiet for round in steps]
    return outcome


def rates(rate: Callable[[float], float], kinds: dict[str, list[str]], seconds: float) -> Rates:
    """The rate over so many seconds without others, and beside each kind of them."""
    quiet = attempt(rate, seconds)
    busy: dict[str, Value] = {}
    for kind, programs in kinds.items():
        with beside(programs):
            attempt(rate, min(SETTLED, seconds))
            busy[kind] = attempt(rate, seconds)
    return Rates(quiet, busy)


def fair_rate(quiet: Value, share: float) -> Value:
    """
    >>> fair_rate(8.0, 0.25)
    2.0
    """
    return each([quiet], lambda rate: rate * share)[0]


def tokens_a_second(engine: Engine, seconds: float) -> float:
    """One text after the other for so long."""
    written, began = 0, time.perf_counter()
    while True:
        sampling = Sampling(temperature=0.8, seed=written)
        stream = engine.submit(Request(prompt(8, written), max_tokens=WRITTEN, sampling=sampling))
        for _ in stream:
            written += 1
            passed = time.perf_counter() - began
            if passed >= seconds:
                stream.cancel()
                return written / passed


def steps_a_second(side: Any, seconds: float) -> float:
    """Training steps, one at a time for so long."""
    taken, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        side.steps(1)
        taken += 1
    return taken / passed


BENCHMARK = Benchmark(
    "busy",
    "generation and a training step while other programs use all cores",
    measure,
    (
        Row(
            "generation_loops",
            "one text beside a busy loop on every core, of the quiet speed",
            "share",
            must=0.4,
            aim=0.5,
        ),
        Row("tokens_loops", "tokens a second of that text", "tokens/s", must=50, aim=80),
        Row(
            "generation_programs",
            "one text beside programs with PyTorch threads, one more than cores, of the quiet speed",
            "share",
        ),
        Row("tokens_programs", "tokens a second of that text", "tokens/s", must=50, aim=80),
        Row(
            "step_loops",
            "a training step beside the loops, of its quiet speed times its fair share of the cores",
            "share",
            must=0.7,
            aim=0.9,
        ),
        Row("step_programs", "the same beside the programs", "share", must=0.7, aim=0.9),
    ),
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
