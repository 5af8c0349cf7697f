"""Small models of every family, for the tests of this room."""

from __future__ import annotations

from typing import Any

import torch

from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT

FAMILY_NAMES = ("modern", "llama", "qwen2", "gpt2", "lecture")


def tiny(family: str, **changes: Any) -> GPTConfig:
    sizes = {"vocab_size": 31, "context_length": 12, "n_layer": 2, "n_head": 4, "n_embd": 32}
    return GPTConfig.of(family, **{**sizes, **changes})


def lively(config: GPTConfig, seed: int = 0) -> GPT:
    """A model whose weights are large enough for every part of it to matter; in eval mode."""
    torch.manual_seed(seed)
    model = GPT(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def random_ids(config: GPTConfig, batch_size: int, length: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (batch_size, length), generator=generator)
