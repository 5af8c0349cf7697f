"""16 clients of `homespun serve` beside 16 of llama.cpp's own server (`xllamacpp`): one file, one precision."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.generation import prompt
from benchmarks.generation_llama import PAIRS, small_model
from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.rounds import Value, attempt, check_tokens
from benchmarks.serving import served
from benchmarks.worker import Worker

CLIENTS = 16
WRITTEN = 120  # tokens of each
PRECISIONS = dict(PAIRS)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", choices=sorted(PRECISIONS), help="one of the precisions")


def measure(work: Work) -> Outcome:
    if importlib.util.find_spec("xllamacpp") is None:
        sys.exit("This measures llama.cpp's server too, and needs its bindings:  pip install xllamacpp")
    model, files = small_model(work)
    written = 8 if work.smoke else WRITTEN
    values: dict[str, list[Value]] = {}
    sides: dict[str, list[Value]] = {}
    chosen = (
        PRECISIONS if work.options.weights is None else {work.options.weights: PRECISIONS[work.options.weights]}
    )
    for weights, quantize in chosen.items():
        file = files[quantize]
        with served(file, weights) as port, LlamaServer(file) as theirs:
            turns: tuple[Callable[[], Value], ...] = (
                lambda port=port: asyncio.run(clients(port, ours, written)),
                lambda port=theirs.port: asyncio.run(clients(port, llama_cpp, written)),
            )
            for turn in turns:
                attempt(turn)  # the first time anything is done it takes longer
            own, other = alternate(work.rounds, *turns)
        values[weights] = ratios(own, other)
        sides |= {f"ours, {weights}": own, f"llama.cpp, {quantize}": other}
    return Outcome(
        values=values,
        sides=sides,
        unit="tokens/s",
        ratio_of="ours / llama.cpp",
        notes=[
            f"llama.cpp's server from xllamacpp {importlib.metadata.version('xllamacpp')}, {CLIENTS} slots, "
            "continuous batching, a thread for each core; both servers read the same GGUF file",
            f"{model.number_of_parameters():,} random weights; {CLIENTS} streams at once, prompts of 8 tokens "
            f"and {written} new ones at temperature 0.8; the clients run on the cores of the servers",
        ],
    )


def ours(seed: int, written: int) -> tuple[str, dict[str, Any]]:
    return "/v1/completions", {
        "prompt": prompt(8, seed), "max_tokens": written, "seed": seed, "stream": True,
        "ignore_eos": True, "temperature": 0.8, "stream_options": {"include_usage": True},
    }  # fmt: skip


def llama_cpp(seed: int, written: int) -> tuple[str, dict[str, Any]]:
    return "/completion", {
        "prompt": prompt(8, seed), "n_predict": written, "seed": seed, "stream": True,
        "ignore_eos": True, "temperature": 0.8, "samplers": ["temperature"], "cache_prompt": False,
    }  # fmt: skip


async def clients(port: int, body: Any, written: int) -> float:
    """Tokens a second, all clients together, from the first request to the last token."""
    began = time.perf_counter()
    counts = await asyncio.gather(*(read(port, *body(seed, written)) for seed in range(CLIENTS)))
    seconds = time.perf_counter() - began
    for count in counts:
        check_tokens("the server", count, written)
    return CLIENTS * written / seconds


async def read(port: int, path: str, body: dict[str, Any]) -> int:
    """The number of tokens that the server says it wrote; what it sends is read and not looked into."""
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Host: 127.0.0.1:{port}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
    last = b""
    async for line in reader:
        if line.startswith(b"data: {"):
            last = line
    writer.close()
    found = json.loads(last[6:])
    return int(found["usage"]["completion_tokens"] if "usage" in found else found["tokens_predicted"])


class LlamaServer(Worker):
    """llama.cpp's server with that file, in a process of its own."""

    answers_begin = '{"port"'

    def __init__(self, file: Path) -> None:
        super().__init__(
            [sys.executable, "-m", "benchmarks.serving_llama", "serve", str(file)], "llama.cpp", chatty=False
        )
        self.port = int(self.answer()["port"])


def serve(file: str) -> None:
    """llama.cpp's server, until standard input ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_ctx = CLIENTS * 256
    params.n_parallel = CLIENTS
    params.cont_batching = True
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = len(os.sched_getaffinity(0))
    server = xllamacpp.Server(params)
    print(json.dumps({"port": int(server.listening_address.rsplit(":", 1)[1])}), flush=True)
    sys.stdin.read()
    os._exit(0)


BENCHMARK = Benchmark(
    "serving_llama",
    f"tokens a second of {CLIENTS} clients together against llama.cpp's server on the same file",
    measure,
    tuple(
        Row(
            weights,
            f"{CLIENTS} clients, 10.7 M parameters in {weights}, against llama.cpp's server",
            "times",
            must=1,
            aim=1.5,
        )
        for weights in PRECISIONS
    ),
    rounds=3,
    add_options=add_options,
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        BENCHMARK.main()
