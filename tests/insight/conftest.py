"""Small models with random weights, large enough that nothing in them is nearly zero."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT, build
from homespun.tokenizer.make import build as build_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer

FAMILIES = ("modern", "gpt2", "llama", "lecture")
LENGTH = 24  # context_length
TEXT = (
    'Now, "the cat" sat on a mat.\nIt was 9 o\'clock; né?\n\nROME:\nThe cat (and the dog) ran, and ran 10 miles!\n'
    'He said: "go on, go on" and the cat went on to the garden.\nNobody saw it again.\n\nTHE END\n'
)


@pytest.fixture(scope="package")
def tokenizer() -> Tokenizer:
    return build_tokenizer("char", alphabet=dict(Counter(TEXT)), documents=1, pieces=lambda: iter([TEXT]))


@pytest.fixture(scope="package")
def byte_tokenizer() -> Tokenizer:
    return build_tokenizer("byte", alphabet={}, documents=1, pieces=lambda: iter([TEXT]))


@pytest.fixture(scope="package")
def bpe_tokenizer() -> Tokenizer:
    return build_tokenizer("bpe", alphabet=dict(Counter(TEXT)), documents=1, pieces=lambda: iter([TEXT * 4]))


def small_model(family: str, tokenizer: Tokenizer, **changes: int) -> GPT | Bigram:
    """With a few ids more than the tokenizer has, as many models have."""
    torch.manual_seed(0)
    ids = tokenizer.vocab_size + 3
    if family == "bigram":
        return build(BigramConfig(vocab_size=ids, context_length=LENGTH))
    shape = {"context_length": LENGTH, "n_layer": 2, "n_head": 4, "n_embd": 32, **changes}
    if family in ("modern", "llama"):
        shape.setdefault("n_kv_head", 2)
    model = build(GPTConfig.of(family, vocab_size=ids, **shape))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def hooks_of(model: torch.nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())
