"""Tokens a second and the time to the first one, beside `transformers` with its cache; many texts beside one."""

from __future__ import annotations

import argparse
import string
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.rounds import Value, attempt, check_tokens, reached
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT

STREAMS = 16
PROMPT = 200  # tokens, of which the time to the first new one is measured
WRITTEN = 240  # tokens a text; with the prompt of 8 they fill the window
ALPHABET = dict.fromkeys(string.ascii_letters + " \n.,:;!?'-&$3", 1)  # as many as tiny Shakespeare has


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default="bfloat16", help="float32, bfloat16 or int8 [default: bfloat16]")


def measure(work: Work) -> Outcome:
    model = model_to_write(work)
    theirs = in_transformers(model, work.folder)
    engine = Engine(model, weights=work.options.weights, streams=STREAMS, wait=True)
    written = 8 if work.smoke else WRITTEN
    sides = (
        lambda: ours_rate(engine, 1, written),
        lambda: their_rate(theirs, written),
        lambda: ours_rate(engine, STREAMS, written),
        lambda: ours_first(engine),
        lambda: their_first(theirs),
    )
    for side in sides:
        attempt(side)  # the first time anything is done it takes longer
    one, plain, many, first, plain_first = alternate(work.rounds, *sides)
    way = type(getattr(engine.runner, "step", None)).__name__
    return Outcome(
        values={
            "one_stream": ratios(one, plain),
            "streams": ratios(many, one),
            "first_token": ratios(first, plain_first),
        },
        sides={"ours": one, "transformers": plain, f"ours, {STREAMS} texts together": many},
        unit="tokens/s",
        ratio_of="ours / transformers",
        notes=[
            f"ours: {way}, weights in {work.options.weights}; transformers in float32",
            f"{model.number_of_parameters():,} random weights; {written} tokens a text at temperature 0.8",
        ],
        details={"first_token_ms": {"ours": thousandths(first), "transformers": thousandths(plain_first)}},
    )


def model_to_write(work: Work, context_length: int = 256, smoke_width: int = 48) -> GPT:
    """6 layers, 384 wide, with random weights, always the same; with --smoke a tiny one."""
    config = GPTConfig.of(
        "modern",
        vocab_size=len(ALPHABET),
        context_length=context_length,
        n_layer=1 if work.smoke else 6,
        n_head=6,
        n_embd=smoke_width if work.smoke else 384,
    )
    torch.manual_seed(0)
    return GPT(config).eval()


def in_transformers(model: GPT, folder: Path) -> Any:
    """The same weights, opened by transformers."""
    from transformers import AutoModelForCausalLM

    from homespun.checkpoint.folder import save_model
    from homespun.tokenizer.make import build

    tokenizer = build("char", alphabet=ALPHABET, documents=1, pieces=lambda: iter([""]))
    save_model(folder / "model", model, tokenizer)
    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()


def prompt(tokens: int, seed: int) -> list[int]:
    return torch.randint(len(ALPHABET), (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()


def ours_rate(engine: Engine, streams: int, written: int) -> float:
    """Tokens a second, all texts together, from the prompts to the last token."""
    requests = [
        Request(prompt(8, seed), max_tokens=written, sampling=Sampling(temperature=0.8, seed=seed))
        for seed in range(streams)
    ]
    began = time.perf_counter()
    texts = [list(stream) for stream in [engine.submit(request) for request in requests]]
    seconds = time.perf_counter() - began
    check_tokens("ours", sum(map(len, texts)), streams * written)
    return streams * written / seconds


def their_rate(model: Any, written: int) -> float:
    return written / their_seconds(model, torch.tensor([prompt(8, 0)]), written)


def their_seconds(model: Any, ids: torch.Tensor, written: int) -> float:
    """How long `transformers` takes to write so many tokens behind each row of ids, all as one batch."""
    began = time.perf_counter()
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        min_new_tokens=written,
        max_new_tokens=written,
        do_sample=True,
        temperature=0.8,
        top_k=0,
        pad_token_id=0,
    )
    seconds = time.perf_counter() - began
    check_tokens("transformers", found.numel() - ids.numel(), len(ids) * written)
    return seconds


def ours_first(engine: Engine) -> float:
    """Seconds to the first token; each time after another prompt, because one that is known costs nothing."""
    request = Request(prompt(PROMPT, time.monotonic_ns() % 2**31), max_tokens=2)
    began = time.perf_counter()
    stream = engine.submit(request)
    next(stream)
    seconds = time.perf_counter() - began
    stream.cancel()
    return seconds


def their_first(model: Any) -> float:
    ids = torch.tensor([prompt(PROMPT, 0)])
    began = time.perf_counter()
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=True, pad_token_id=0)
    return time.perf_counter() - began


def thousandths(seconds: list[Value]) -> list[float]:
    return [round(1000 * value, 2) for value in reached(seconds)]


BENCHMARK = Benchmark(
    "generation",
    "tokens a second, 10.7 M parameters, against transformers with its cache",
    measure,
    (
        Row("one_stream", "one text, 10.7 M parameters, against transformers' generate", "times", must=5, aim=10),
        Row("streams", f"{STREAMS} texts together against one", "times", must=5, aim=10),
        Row(
            "first_token",
            f"time to the first token after {PROMPT}, against transformers",
            "share",
            "less",
            must=0.7,
            aim=0.3,
        ),
    ),
    rounds=7,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
