"""Tokens/s of generating, beside transformers on the same weights and the same GPU, for one text and for many.

The shape is GPT-2's with 124 million parameters, its weights are drawn. transformers: `generate` with its
cache, in bfloat16, all texts as one batch of equal prompts, which suits it best. Ours: the engine with its
paged cache.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.result import Asked, Row, asked, finish, seconds_of
from homespun.checkpoint.folder import save_model
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.byte import ByteTokenizer

SHAPE = {"context_length": 1024, "n_layer": 12, "n_head": 12, "n_embd": 768}
TINY = {"context_length": 64, "n_layer": 1, "n_head": 2, "n_embd": 32}
PROMPT = 32


def ours(engine: Engine, streams: int, written: int) -> None:
    requests = [
        Request(
            [(seed + place) % 250 for place in range(PROMPT)], max_tokens=written, sampling=Sampling(seed=seed)
        )
        for seed in range(streams)
    ]
    for stream in [engine.submit(request) for request in requests]:
        assert sum(1 for _ in stream) == written


def theirs(model: Any, streams: int, written: int) -> None:
    ids = (torch.arange(PROMPT) + torch.arange(streams)[:, None]) % 250
    found = model.generate(
        ids.to(model.device),
        attention_mask=torch.ones_like(ids).to(model.device),
        do_sample=True,
        max_new_tokens=written,
        min_new_tokens=written,
        pad_token_id=0,
    )
    assert found.shape == (streams, PROMPT + written)


def rows_of(wanted: Asked) -> list[Row]:
    from transformers import AutoModelForCausalLM

    device, written = wanted.device, wanted.pick(256, 8)
    tokenizer = ByteTokenizer()
    torch.manual_seed(0)
    config = GPTConfig.of("gpt2", vocab_size=tokenizer.vocab_size, **wanted.pick(SHAPE, TINY))
    model = GPT(config).eval()
    weights = "bfloat16" if device.type == "cuda" else "float32"
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), model, tokenizer)
        other = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, weights)).to(device).eval()
    model = model.to(device)
    rows: list[Row] = []
    for streams in wanted.pick((1, 16, 64, 256), (1, 3)):
        engine = Engine(model, weights=weights, streams=streams)
        times = wanted.pick(3, 1)
        our_seconds = seconds_of(partial(ours, engine, streams, written), device, times, warmup=1)
        their_seconds = seconds_of(partial(theirs, other, streams, written), device, times, warmup=1)
        rates = streams * written / our_seconds, streams * written / their_seconds
        rows.append(
            {
                "texts": streams,
                "weights": weights,
                "ours, tokens/s": rates[0],
                "transformers, tokens/s": rates[1],
                "ratio": rates[0] / rates[1],
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> int:
    wanted = asked(__doc__, arguments)
    finish(wanted, "decoding", rows_of(wanted))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
