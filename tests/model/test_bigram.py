"""The bigram model of the lecture, number for number."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig
from homespun.model.gpt import build

# The 65 characters of tiny Shakespeare in their order, and the lecture's batch of four texts.
ALPHABET = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BATCH = [
    [24, 43, 58, 5, 57, 1, 46, 43, 39],
    [44, 53, 56, 1, 58, 46, 39, 58, 1],
    [52, 58, 1, 58, 46, 39, 58, 1, 46],
    [25, 17, 27, 10, 0, 21, 1, 54, 39],
]


def test_the_lectures_loss_and_the_lectures_sample_come_out() -> None:
    batch = torch.tensor(BATCH)
    torch.manual_seed(1337)
    model = Bigram(BigramConfig(vocab_size=65))
    logits, loss = model(batch[:, :-1], batch[:, 1:])
    assert logits.shape == (4, 8, 65)
    assert loss.item() == pytest.approx(4.8786, abs=5e-5)

    ids = torch.zeros((1, 1), dtype=torch.long)
    for _ in range(100):
        logits, _ = model(ids)
        probabilities = F.softmax(logits[:, -1], dim=-1)
        ids = torch.cat([ids, torch.multinomial(probabilities, num_samples=1)], dim=1)
    assert "".join(ALPHABET[id] for id in ids[0].tolist()) == (
        "\nSKIcLT;AcELMoTbvZv C?nq-QE33:CJqkOKH-q;:la!oiywkHjgChzbQ?u!3bLIgwevmyFJGUGp\nwnYWmnxKWWev-tDqXErVKLgJ"
    )


def test_the_next_token_depends_on_the_last_one_alone() -> None:
    model = Bigram(BigramConfig(vocab_size=65))
    logits, loss = model(torch.tensor([[3, 1, 4], [1, 5, 4]]))
    assert loss is None
    assert torch.equal(logits[0, 2], logits[1, 2])
    assert torch.equal(logits[0, 1], model.table.weight[1])


def test_a_table_of_a_whole_vocabulary_of_words_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        BigramConfig(vocab_size=50_257)
    assert str(caught.value) == (
        "A bigram table of vocab_size = 50257 would have that many entries squared.\n"
        "Take a tokenizer with at most 16,384 tokens: --tokenizer byte or bpe:4096."
    )
    with pytest.raises(ModelError, match="context_length is 0"):
        BigramConfig(vocab_size=65, context_length=0)


def test_build_makes_the_model_of_the_config() -> None:
    assert isinstance(build(BigramConfig(vocab_size=65)), Bigram)
