"""Our loss is that of `transformers` on the folder we write, with windows that overlap and without."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from homespun.checkpoint.folder import load_model, save_model
from homespun.evaluation.loss import evaluate
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

from .test_loss import small_gpt, split_of

transformers = pytest.importorskip("transformers")

CONTEXT = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model of Qwen3's shape, as training leaves it."""
    tokenizer: Tokenizer = build("byte", alphabet={}, documents=1, pieces=lambda: iter([]))
    model = small_gpt(vocab_size=tokenizer.vocab_size, context_length=CONTEXT)
    save_model(tmp_path / "m", model, tokenizer)
    return tmp_path / "m"


def their_loss(folder: Path, ids: np.ndarray, max_length: int, stride: int) -> float:
    """As the documentation of transformers has it ("Perplexity of fixed-length models").

    Their window of max_length tokens predicts one token less than it has: ours of T are theirs of T + 1.
    """
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert type(model).__name__ == "Qwen3ForCausalLM"
    input_ids = torch.from_numpy(ids.astype(np.int64))[None]
    nats, count, before = 0.0, 0, 0
    for begin in range(0, input_ids.size(1), stride):
        end = min(begin + max_length, input_ids.size(1))
        window = input_ids[:, begin:end]
        targets = window.clone()
        targets[:, : -(end - before)] = -100
        valid = int((targets[:, 1:] != -100).sum())
        with torch.no_grad():
            nats += float(model(window, labels=targets).loss) * valid
        count += valid
        before = end
        if end == input_ids.size(1):
            break
    assert count == len(ids) - 1
    return nats / count


@pytest.mark.parametrize("stride", [CONTEXT, 8, 5, 1])
@pytest.mark.parametrize("tokens", [100, 113])
def test_loss_and_perplexity_are_those_of_transformers(folder: Path, stride: int, tokens: int) -> None:
    ids = np.random.default_rng(0).integers(0, 256, tokens)
    model, _ = load_model(folder, device="cpu")
    ours = evaluate(model, split_of(ids), stride=stride)
    theirs = their_loss(folder, ids, CONTEXT + 1, stride)
    assert ours.loss == pytest.approx(theirs, abs=1e-3)
    assert ours.perplexity == pytest.approx(math.exp(theirs), rel=1e-3)
