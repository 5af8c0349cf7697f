"""Small models of every family, sure of what they say: the likeliest token is no toss-up."""

from __future__ import annotations

from typing import Any

import torch

from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT

CONTEXT = 40  # more than two pages of 16


def sure_model(family: str, vocab_size: int = 61, **shape: Any) -> GPT | Bigram:
    """Weights ten times the usual."""
    torch.manual_seed(1)
    if family == "bigram":
        return Bigram(BigramConfig(vocab_size, CONTEXT))
    usual: dict[str, Any] = {"context_length": CONTEXT, "n_layer": 2, "n_head": 4, "n_embd": 36, "head_width": 10}
    if family in ("modern", "llama"):
        usual["n_kv_head"] = 2
    if family == "gpt2":
        del usual["head_width"]  # that of transformers has no other
    model = GPT(GPTConfig.of(family, vocab_size=vocab_size, **{**usual, **shape}))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10.0 if weight.ndim == 2 else 1.0)
    return model.eval()


def prompt_of(length: int, vocab_size: int = 61, seed: int = 2) -> list[int]:
    return torch.randint(vocab_size, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
