"""Small models, a tokenizer, and ways to spoil a folder, for the tests of this room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.checkpoint.folder import load_model
from homespun.errors import CheckpointError
from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT, build
from homespun.tokenizer.make import build as build_tokenizer

ALPHABET = "\n !,.abcdefghijklmnopqrstuvwxyz"
EVERY_KIND = ("modern", "llama", "qwen2", "gpt2", "lecture", "bigram")


def char_tokenizer(*, documents: int = 1, alphabet: str = ALPHABET) -> Any:
    counts = dict.fromkeys(alphabet, 1)
    return build_tokenizer("char", alphabet=counts, documents=documents, pieces=lambda: iter([alphabet]))


def tiny(family: str, **changes: Any) -> GPTConfig | BigramConfig:
    sizes = {"vocab_size": len(ALPHABET), "context_length": 24}
    if family == "bigram":
        return BigramConfig(**{**sizes, **changes})
    return GPTConfig.of(family, **{**sizes, "n_layer": 2, "n_head": 4, "n_embd": 32, **changes})


def lively(config: GPTConfig | BigramConfig, seed: int = 0) -> GPT | Bigram:
    """A model whose weights are large enough for every part of it to matter."""
    torch.manual_seed(seed)
    model = build(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def random_ids(vocab_size: int, batch_size: int = 2, length: int = 24) -> torch.Tensor:
    return torch.randint(vocab_size, (batch_size, length), generator=torch.Generator().manual_seed(1))


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def spoil(folder: Path, **changes: Any) -> None:
    """Changes settings of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def spoil_weights(folder: Path, change: Any) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, path, metadata={"format": "pt"})


def told(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert caught.value.todo
    assert len(str(caught.value).splitlines()) < 12
    return str(caught.value)
