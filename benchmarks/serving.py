"""What the server costs beside the engine in process, and what many clients get: over HTTP, on real sockets."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.generation import ALPHABET, model_to_write, prompt
from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.rounds import Value, attempt, check_tokens
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling

CONTEXT = 2048
WRITTEN = 512  # tokens of one stream
CLIENTS = (16, 64)
READERS = 4  # who are written for while a long prompt comes in
READ = 1500  # tokens: they are not done before the prompt is
PATIENCE = 120.0  # seconds for a server to start


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default="bfloat16", help="float32, bfloat16 or int8 [default: bfloat16]")


def measure(work: Work) -> Outcome:
    from homespun.checkpoint.folder import save_model
    from homespun.tokenizer.make import build

    context, written = (128, 16) if work.smoke else (CONTEXT, WRITTEN)
    model = model_to_write(work, context_length=context)
    tokenizer = build("char", alphabet=ALPHABET, documents=1, pieces=lambda: iter([""]))
    save_model(work.folder / "model", model, tokenizer)
    engine = Engine(model, weights=work.options.weights, wait=True)
    waits: dict[str, list[float]] = {"first": [], "between": [], "beside": []}
    with served(work.folder / "model", work.options.weights) as port:
        sides: tuple[Callable[[], Value], ...] = (
            lambda: in_process(engine, written),
            lambda: asyncio.run(clients(port, 1, written)),
            *((lambda count=count: asyncio.run(clients(port, count, written, waits))) for count in CLIENTS),
            lambda: asyncio.run(beside_a_prompt(port, context, waits)),
        )
        for side in sides:
            attempt(side)
        for kept in waits.values():
            kept.clear()
        own, one, several, many, beside = alternate(work.rounds, *sides)
    return Outcome(
        values={"cost": ratios(one, own), "several": ratios(several, one), "beside": beside},
        sides={
            "the engine in process, one stream": own,
            "one client": one,
            **{f"{count} clients": found for count, found in zip(CLIENTS, (several, many), strict=True)},
        },
        unit="tokens/s",
        ratio_of="one client / the engine in process",
        notes=[
            f"{model.number_of_parameters():,} random weights in {work.options.weights}; the clients run on the "
            "cores of the server",
            *(f"{about}: {quantiles(waits[key])}" for key, about in ABOUT.items() if waits[key]),
        ],
    )


ABOUT = {
    "first": f"time to the first token, {CLIENTS[0]} and {CLIENTS[1]} clients",
    "between": "time between pieces of a text (tokens that come within 10 ms are one piece)",
    "beside": f"the same for {READERS} readers while a prompt of a full context comes in",
}


def quantiles(seconds: list[float]) -> str:
    median, late = (1000 * quantile(seconds, share) for share in (0.5, 0.99))
    return f"median {median:.1f} ms, 99th percentile {late:.1f} ms"


def quantile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(share * (len(seconds) - 1))]


@contextmanager
def served(folder: Path, weights: str) -> Iterator[int]:
    """The port of a server in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "homespun", "serve", str(folder), "--port", str(port), "--weights", weights]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            assert process.stdout is not None
            while not process.stdout.readline().startswith(b"Ctrl-C"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the server did not start")
            yield port
        finally:
            process.send_signal(signal.SIGINT)


def in_process(engine: Engine, written: int) -> float:
    """Tokens a second of one stream."""
    request = Request(prompt(8, 0), max_tokens=written, sampling=Sampling(temperature=0.8, seed=0))
    began = time.perf_counter()
    ids = [token.id for token in engine.submit(request)]
    seconds = time.perf_counter() - began
    check_tokens("the engine", len(ids), written)
    return written / seconds


async def clients(port: int, count: int, written: int, waits: dict[str, list[float]] | None = None) -> float:
    """Tokens a second, all clients together; the lengths of several are from a fixed seed."""
    rng = random.Random(count)
    lengths = [written] if count == 1 else [rng.randint(written // 8, written // 2) for _ in range(count)]
    began = time.perf_counter()
    texts = await asyncio.gather(*(read(port, seed, length) for seed, length in enumerate(lengths)))
    seconds = time.perf_counter() - began
    if waits is not None:
        for times in texts:
            waits["first"].append(times[1] - times[0])
            waits["between"] += [after - before for before, after in pairwise(times[1:])]
    return sum(lengths) / seconds


async def beside_a_prompt(port: int, context: int, waits: dict[str, list[float]]) -> float:
    """The 99th percentile of the time between pieces, while a full prompt is computed, over the median without."""
    readers = [asyncio.create_task(read(port, seed, READ)) for seed in range(READERS)]
    await asyncio.sleep(0.2)
    began = time.perf_counter()
    await read(port, time.monotonic_ns() % 2**31, 1, prompt_tokens=context)
    ended = time.perf_counter()
    alone, beside = [], []
    for times in await asyncio.gather(*readers):
        for before, after in pairwise(times[1:]):
            (beside if before < ended and after > began else alone).append(after - before)
    if not (alone and beside):
        raise RuntimeError("the readers were done before the prompt came")
    waits["beside"] += beside
    return quantile(beside, 0.99) / statistics.median(alone)


async def read(port: int, seed: int, length: int, prompt_tokens: int = 8) -> list[float]:
    """One stream: when it was asked for, and when each piece came."""
    body: dict[str, Any] = {
        "prompt": prompt(prompt_tokens, seed), "max_tokens": length, "seed": seed, "stream": True,
        "ignore_eos": True, "temperature": 0.8, "truncation": "auto", "stream_options": {"include_usage": True},
    }  # fmt: skip
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    times = [time.perf_counter()]
    writer.write(f"{head}Host: 127.0.0.1:{port}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
    last = b""
    async for line in reader:
        if line.startswith(b"data: {"):
            times.append(time.perf_counter())
            last = line
    writer.close()
    times.pop()  # the usage
    check_tokens("the server", json.loads(last[6:])["usage"]["completion_tokens"], length)
    return times


BENCHMARK = Benchmark(
    "serving",
    "a model behind HTTP: one client against the engine in process, 16 and 64 clients, beside a long prompt",
    measure,
    (
        Row("cost", "one client over HTTP against the engine in process", "times", must=0.9, aim=0.97),
        Row("several", f"{CLIENTS[0]} clients together against one", "times", must=5, aim=8),
        Row(
            "beside",
            "99th percentile between pieces while a full prompt comes in, against the median without",
            "times",
            "less",
            must=3,
            aim=1.5,
        ),
    ),
    rounds=5,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
