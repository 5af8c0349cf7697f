"""Tiny models of every family with random weights, and a text to tune them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.checkpoint.folder import save_model
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT, build
from homespun.tokenizer.make import build as build_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer

LINES = "".join(
    f"{who} {does} the {what} {when}.\n"
    for who in ("A cat", "The dog", "My uncle")
    for does in ("sees", "wants", "paints")
    for what in ("moon", "garden", "river", "kettle")
    for when in ("today", "at night", "on Sunday")
)


def tiny_config(family: str, vocab_size: int = 257, **settings: Any) -> GPTConfig:
    shared = {} if family in ("gpt2", "lecture") else {"n_kv_head": 2}
    shape = {"context_length": 64, "n_layer": 2, "n_head": 4, "n_embd": 32}
    return GPTConfig.of(family, vocab_size=vocab_size, **{**shape, **shared, **settings})


def tiny_model(family: str, seed: int = 0, **settings: Any) -> GPT:
    torch.manual_seed(seed)
    model = GPT(tiny_config(family, **settings)).eval()
    with torch.no_grad():  # at the start norms are all ones, and biases nothing: they would hide a mistake
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    return model


@pytest.fixture
def byte_tokenizer() -> Tokenizer:
    return build_tokenizer("byte", alphabet={}, documents=2, pieces=lambda: iter([]))


@pytest.fixture
def base(tmp_path: Path, byte_tokenizer: Tokenizer) -> Callable[..., Path]:
    """Makes a model folder of that family: base("llama")."""

    def make(family: str = "llama", **settings: Any) -> Path:
        folder = tmp_path / f"base-{family}"
        if family == "bigram":
            torch.manual_seed(0)
            save_model(folder, build(BigramConfig(byte_tokenizer.vocab_size, context_length=64)), byte_tokenizer)
        else:
            save_model(folder, tiny_model(family, **settings), byte_tokenizer)
        return folder

    return make


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(LINES, encoding="utf-8")
    return path
