"""Tokens a second beside llama.cpp (`xllamacpp`) on the exported file, one text, in the same precision."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.generation import ALPHABET, WRITTEN, model_to_write, prompt
from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.rounds import Value, attempt, check_tokens
from benchmarks.worker import Worker
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.model.gpt import GPT

PAIRS = (("float32", "f32"), ("bfloat16", "bf16"), ("int8", "q8_0"))  # our weights, and the same in a GGUF file
SMOLLM2_WRITTEN = 100
SMOLLM2_PROMPT = "The capital of France is"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--smollm2", default="int8", metavar="WEIGHTS", help="of SmolLM2 on our side [default: int8]"
    )
    parser.add_argument("--only", choices=["small", "smollm2"], help="one of the two models")


def measure(work: Work) -> Outcome:
    if importlib.util.find_spec("xllamacpp") is None:
        sys.exit("This measures llama.cpp too, and needs its bindings:  pip install xllamacpp")
    values: dict[str, list[Value]] = {}
    sides: dict[str, list[Value]] = {}
    if work.options.only != "smollm2":
        model, files = small_model(work)
        for weights, quantize in PAIRS:
            engine = Engine(model, weights=weights, streams=1, wait=True)
            ours, theirs = in_turn(work, engine, files[quantize], prompt(8, 0), 8 if work.smoke else WRITTEN)
            values[weights] = ratios(ours, theirs)
            sides |= {f"ours, {weights}": ours, f"llama.cpp, {quantize}": theirs}
    if work.options.only != "small" and not work.smoke:
        import homespun
        from homespun.interop.find import find_model

        opened = homespun.load("smollm2", device="cpu")
        engine = Engine(opened.model, weights=work.options.smollm2, streams=1, wait=True)
        ids = opened.tokenizer.encode(SMOLLM2_PROMPT)
        ours, theirs = in_turn(work, engine, find_model("smollm2"), ids, SMOLLM2_WRITTEN)
        values["smollm2"] = ratios(ours, theirs)
        sides |= {f"ours, SmolLM2 in {work.options.smollm2}": ours, "llama.cpp, SmolLM2 in Q4_1": theirs}
    return Outcome(
        values=values,
        sides=sides,
        unit="tokens/s",
        ratio_of="ours / llama.cpp",
        notes=[
            f"llama.cpp from xllamacpp {importlib.metadata.version('xllamacpp')}; the likeliest token each time, "
            "from the request to the last token, on both sides",
        ],
    )


def small_model(work: Work) -> tuple[GPT, dict[str, Path]]:
    """The model of `benchmarks.generation`, and its files."""
    from homespun.interop.gguf.write import write_gguf
    from homespun.interop.gguf.write_tokenizer import tokenizer_settings
    from homespun.tokenizer.make import build

    model = model_to_write(work, smoke_width=96)
    tokenizer = build("char", alphabet=ALPHABET, documents=1, pieces=lambda: iter([""]))
    words = tokenizer_settings(tokenizer, rows=model.config.vocab_size, rarest=0)
    files = {quantize: work.folder / f"{quantize}.gguf" for _, quantize in PAIRS}
    for quantize, file in files.items():
        write_gguf(file, model, words, {}, quantize)
    return model, files


def in_turn(
    work: Work, engine: Engine, file: Path, ids: list[int], written: int
) -> tuple[list[Value], list[Value]]:
    """Tokens a second of both, in turn."""
    with LlamaCpp(file, len(ids) + written) as theirs:
        sides = (lambda: ours_rate(engine, ids, written), lambda: theirs.rate(ids, written))
        for side in sides:
            attempt(side)  # the first time anything is done it takes longer
        ours, rates = alternate(work.rounds, *sides)
    return ours, rates


def ours_rate(engine: Engine, ids: list[int], written: int) -> float:
    began = time.perf_counter()
    tokens = list(engine.submit(Request(ids, max_tokens=written, sampling=Sampling(temperature=0))))
    seconds = time.perf_counter() - began
    check_tokens("ours", len(tokens), written)
    return written / seconds


class LlamaCpp(Worker):
    """llama.cpp with that file, in a process of its own; while it is not asked it waits."""

    answers_begin = '{"seconds"'

    def __init__(self, file: Path, tokens: int) -> None:
        command = [sys.executable, "-m", "benchmarks.generation_llama", "serve", str(file), str(tokens)]
        super().__init__(command, "llama.cpp", chatty=False)

    def rate(self, ids: list[int], written: int) -> float:
        """Tokens a second, from the request to the last token."""
        found = self.ask(json.dumps({"ids": ids, "written": written}))
        check_tokens("llama.cpp", found["written"], written)
        return written / float(found["seconds"])


def serve(file: str, tokens: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_ctx = int(tokens) + 8
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = len(os.sched_getaffinity(0))
    server = xllamacpp.Server(params)
    for line in sys.stdin:
        asked = json.loads(line)
        body = {
            "prompt": asked["ids"],
            "n_predict": asked["written"],
            "temperature": 0,
            "samplers": ["temperature"],
            "ignore_eos": True,
            "cache_prompt": False,
        }
        began = time.perf_counter()
        answer = post(server.listening_address + "/completion", body)
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "written": answer["tokens_predicted"]}), flush=True)
    os._exit(0)


def post(address: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        address, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as answer:
        return json.load(answer)


BENCHMARK = Benchmark(
    "generation_llama",
    "tokens a second of one text against llama.cpp on the exported file",
    measure,
    (
        Row("float32", "one text, 10.7 M parameters in float32, against llama.cpp", "times", must=0.7, aim=1.2),
        Row("bfloat16", "the same in bfloat16", "times", must=0.7, aim=1.2),
        Row("int8", "the same in 8 bits (Q8_0)", "times", must=0.7, aim=1.2),
        Row("smollm2", "SmolLM2-135M, one text, against llama.cpp's Q4_1", "times", must=0.5, aim=1.0),
    ),
    rounds=5,
    add_options=add_options,
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        BENCHMARK.main()
