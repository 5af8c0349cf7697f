"""Tokens a second of LoRA on a random model of the shape of Gemma 3 270M, against `transformers` and `peft`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.finetune_speed import add_options, compared
from benchmarks.pairs import Benchmark, Outcome, Row, Work

SHAPE = {
    "vocab_size": 262_144,
    "context_length": 32_768,
    "n_layer": 18,
    "n_head": 4,
    "n_kv_head": 1,
    "n_embd": 640,
    "n_inner": 2048,
    "head_width": 256,
}
TINY = {"vocab_size": 300, "context_length": 64, "n_layer": 1, "n_head": 2, "n_embd": 32, "head_width": 16}


def measure(work: Work) -> Outcome:
    return compared(work, "finetune_gemma", random_model)


def random_model(work: Work) -> Path:
    """Its folder, which both sides open."""
    import torch

    from homespun.checkpoint.folder import save_model
    from homespun.model.config import GPTConfig
    from homespun.model.gpt import GPT
    from homespun.tokenizer.make import build

    tokenizer = build("byte", alphabet={}, documents=2, pieces=lambda: iter([]))
    torch.manual_seed(0)
    save_model(work.folder / "base", GPT(GPTConfig.of("gemma3", **(TINY if work.smoke else SHAPE))), tokenizer)
    return work.folder / "base"


BENCHMARK = Benchmark(
    "finetune_gemma",
    "tokens a second of LoRA on the shape of Gemma 3 270M, against transformers + peft",
    measure,
    (
        Row(
            "finetune_gemma",
            "LoRA on the shape of Gemma 3 270M, tokens a second, against `transformers` + `peft`",
            "times",
            must=1.5,
            aim=3,
        ),
    ),
    rounds=3,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
