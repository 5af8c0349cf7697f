"""The loss of models whose loss is known, on every position of a text."""

from __future__ import annotations

import doctest
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.dataset.shards import Split
from homespun.errors import NotEnoughText
from homespun.evaluation import loss
from homespun.evaluation.loss import Evaluation, batch_size_for, evaluate
from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT


def split_of(ids: list[int] | np.ndarray, characters: int = 0, bytes: int = 0) -> Split:
    ids = np.array(ids, dtype=np.uint16)
    return Split("val", ids, characters or len(ids), bytes or len(ids), documents=1)


def random_split(tokens: int, vocab_size: int = 11, seed: int = 0) -> Split:
    return split_of(np.random.default_rng(seed).integers(0, vocab_size, tokens))


class Uniform(nn.Module):
    """Finds every token equally likely. Keeps the shapes it was asked for."""

    def __init__(self, vocab_size: int, context_length: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, context_length=context_length)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.shapes.append(tuple(ids.shape))
        logits = torch.zeros(*ids.shape, self.config.vocab_size)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def small_gpt(vocab_size: int = 11, context_length: int = 8) -> GPT:
    torch.manual_seed(0)
    config = GPTConfig.of(
        "modern", vocab_size=vocab_size, context_length=context_length, n_layer=2, n_head=2, n_embd=16
    )
    model = GPT(config)
    for weight in model.parameters():  # far from uniform, so that a wrong position shows
        nn.init.normal_(weight, std=0.5)
    return model


def plain_loop(model: nn.Module, split: Split) -> float:
    """The definition, one window and one position at a time."""
    model.eval()
    total, T = 0.0, model.config.context_length
    for start in range(0, split.tokens - 1, T):
        window = torch.from_numpy(split.ids[start : start + T + 1].astype(np.int64))
        with torch.no_grad():
            logits, _ = model(window[None, :-1], window[None, 1:])
        for t in range(len(window) - 1):
            total -= float(torch.log_softmax(logits[0, t].double(), dim=-1)[window[t + 1]])
    return total / (split.tokens - 1)


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(loss).failed == 0


def test_a_uniform_guess_costs_the_logarithm_of_the_vocabulary():
    found = evaluate(Uniform(65, 8), split_of([1, 2, 3] * 40, characters=240, bytes=480))
    assert found.loss == pytest.approx(math.log(65), abs=1e-6)
    assert found.perplexity == pytest.approx(65, rel=1e-5)
    assert found.bits_per_char == pytest.approx(math.log2(65) / 2, rel=1e-6)
    assert found.bits_per_byte == pytest.approx(math.log2(65) / 4, rel=1e-6)
    assert (found.tokens, found.characters, found.bytes, found.whole) == (119, 240, 480, True)
    assert found.seconds > 0


def test_a_bigram_table_costs_what_its_table_says():
    model = Bigram(BigramConfig(vocab_size=2, context_length=4))
    # After a 0 comes a 1 with probability 3/4; after a 1 a 0 with probability 9/10.
    model.table.weight.data = torch.tensor([[1 / 4, 3 / 4], [9 / 10, 1 / 10]]).log()
    found = evaluate(model, split_of([0, 1, 0, 0, 1, 1, 0]))
    assert found.tokens == 6
    assert found.loss == pytest.approx(-math.log(0.75 * 0.9 * 0.25 * 0.75 * 0.1 * 0.9) / 6, rel=1e-6)


def test_a_bigram_counted_on_tiny_shakespeare_costs_the_entropy_of_the_counts(shakespeare_text):
    number = {character: id for id, character in enumerate(sorted(set(shakespeare_text)))}
    ids = np.array([number[character] for character in shakespeare_text[:100_001]])
    counts = np.zeros((65, 65))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    model = Bigram(BigramConfig(vocab_size=65, context_length=256))
    model.table.weight.data = torch.tensor(counts).clamp(min=1e-9).log().float()
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    entropy = -(counts * np.log(np.where(counts, shares, 1))).sum() / 100_000
    assert evaluate(model, split_of(ids)).loss == pytest.approx(entropy, rel=1e-6)


@pytest.mark.parametrize("tokens", [2, 8, 9, 10, 16, 17, 100, 257])
def test_it_is_the_plain_loop_over_every_position(tokens):
    model, split = small_gpt(), random_split(tokens)
    assert evaluate(model, split).loss == pytest.approx(plain_loop(model, split), rel=1e-6)


def test_the_batch_size_does_not_matter():
    model, split = small_gpt(), random_split(300)
    losses = [evaluate(model, split, batch_size=size).loss for size in (1, 3, 64, 1000)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)
    assert evaluate(model, split, batch_size=3).loss == evaluate(model, split, batch_size=3).loss


def test_windows_do_not_overlap_and_the_last_one_is_short():
    model = Uniform(5, 8)
    evaluate(model, random_split(8 * 7 + 4, 5), batch_size=3)
    assert model.shapes == [(3, 8), (3, 8), (1, 8), (1, 3)]


def test_a_split_shorter_than_the_context_is_one_short_window():
    model = Uniform(5, 100)
    assert evaluate(model, random_split(31, 5)).tokens == 30
    assert model.shapes == [(1, 30)]


def test_a_quick_look_takes_windows_from_all_over_and_says_so():
    ids = np.zeros(1001, dtype=np.uint16)
    ids[500:] = 1
    model = Bigram(BigramConfig(vocab_size=2, context_length=10))
    model.table.weight.data = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    whole = evaluate(model, split_of(ids))
    look = evaluate(model, split_of(ids), windows=10)
    assert (whole.whole, look.whole) == (True, False)
    assert (whole.tokens, look.tokens) == (1000, 100)
    assert look.loss == pytest.approx(whole.loss, abs=0.05)
    assert look.bits_per_char == pytest.approx(look.loss / math.log(2))


def test_more_windows_than_there_are_is_the_whole():
    model, split = small_gpt(), random_split(100)
    assert evaluate(model, split, windows=13).loss == evaluate(model, split).loss
    assert evaluate(model, split, windows=13).whole
    assert not evaluate(model, split, windows=12).whole


def test_dropout_is_off_meanwhile_and_every_module_is_left_as_it_was():
    model, split = small_gpt(), random_split(200)
    model.blocks[0].register_module("dropout", nn.Dropout(0.9))
    model.train()
    model.blocks[1].eval()
    before = [module.training for module in model.modules()]
    during: list[bool] = []
    model.blocks[0].register_forward_hook(
        lambda module, *_: during.append(module.training or torch.is_grad_enabled())
    )
    evaluate(model, split)
    assert during and not any(during)
    assert [module.training for module in model.modules()] == before


def test_the_model_is_put_back_even_when_it_fails():
    model = small_gpt(vocab_size=4).train()
    with pytest.raises(IndexError):
        evaluate(model, split_of([9] * 20))
    assert model.training


def test_training_goes_on_after_an_evaluation():
    model, split = small_gpt().train(), random_split(50)
    evaluate(model, split)
    ids = torch.arange(8)[None]
    _, loss_of_step = model(ids, ids)
    loss_of_step.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_it_runs_in_the_context_that_autocast_makes():
    model, split = small_gpt(), random_split(300)
    exact = evaluate(model, split)
    rounded = evaluate(model, split, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
    assert rounded.loss != exact.loss
    assert rounded.loss == pytest.approx(exact.loss, rel=0.02)


def test_progress_counts_predicted_tokens():
    told: list[tuple[int, int]] = []
    evaluate(Uniform(5, 8), random_split(36, 5), batch_size=2, on_progress=lambda *now: told.append(now))
    assert told == [(16, 35), (32, 35), (35, 35)]


def test_logits_stay_below_32_mebibytes_and_one_window_always_runs():
    for context_length in (1, 8, 64, 1024, 100_000):
        for vocab_size in (2, 65, 256, 50_257, 200_000):
            size = batch_size_for(context_length, vocab_size)
            assert size >= 1
            assert size == 1 or size * context_length * vocab_size * 4 <= 2**25
            assert size == 1 or size * context_length <= 4096


@pytest.mark.parametrize("ids", [[], [3]])
def test_nothing_to_predict_is_an_error_that_teaches(ids):
    with pytest.raises(NotEnoughText, match="nothing to predict"):
        evaluate(Uniform(5, 8), split_of(ids))


def test_a_hopeless_model_has_an_infinite_perplexity_and_no_crash():
    model = Bigram(BigramConfig(vocab_size=2, context_length=4))
    model.table.weight.data = torch.tensor([[0.0, 5000.0], [0.0, 5000.0]])
    found = evaluate(model, split_of([0] * 10))
    assert found.loss == pytest.approx(5000)
    assert found.perplexity == math.inf


def test_an_evaluation_is_plain_data():
    found = evaluate(Uniform(5, 8), random_split(36, 5))
    assert Evaluation(**vars(found)) == found
    assert all(isinstance(value, (int, float)) for value in vars(found).values())
