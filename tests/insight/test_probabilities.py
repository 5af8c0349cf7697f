"""What a model had in mind is what its own forward pass says."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from homespun.errors import ModelError, UsageError
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.generation.window import window_start
from homespun.insight.probabilities import attention_of, looked_at, token_probabilities
from homespun.model.attention import CausalSelfAttention
from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT, build
from homespun.tokenizer.make import build as build_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer

FAMILIES = ("modern", "gpt2", "llama", "lecture")
TEXT = "the cat sat on a mat, né"
LENGTH = 12


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer("char", alphabet=dict(Counter(TEXT)), documents=1, pieces=lambda: iter([TEXT]))


def model_of(family: str, tokenizer: Tokenizer, **changes: int) -> GPT | Bigram:
    """With a few ids more than the tokenizer has, as many models have."""
    torch.manual_seed(0)
    ids = tokenizer.vocab_size + 5
    if family == "bigram":
        return build(BigramConfig(vocab_size=ids, context_length=LENGTH))
    shape = {"context_length": LENGTH, "n_layer": 2, "n_head": 4, "n_embd": 32, **changes}
    model = build(GPTConfig.of(family, vocab_size=ids, **shape))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


@pytest.mark.parametrize("length", [1, 2, LENGTH, LENGTH + 1, LENGTH + 7, 40])
@pytest.mark.parametrize("family", [*FAMILIES, "bigram"])
@torch.no_grad()
def test_probabilities_are_those_of_the_forward_pass_over_what_the_model_sees(
    family: str, length: int, tokenizer: Tokenizer
) -> None:
    model = model_of(family, tokenizer)
    ids = (tokenizer.encode(TEXT) * 2)[:length]
    found = token_probabilities(model, tokenizer, ids, alternatives=3)
    assert found.ids.tolist() == ids and found.tokens == tuple(tokenizer.token(id) for id in ids)
    assert math.isnan(found.logprobs[0]) and found.ranks[0] == -1 and found.best_tokens[0] == ()
    for place in range(1, length):
        seen = ids[window_start(place, LENGTH) : place]
        expected = F.log_softmax(model(torch.tensor([seen]))[0][0, -1], dim=-1)
        assert found.logprobs[place] == pytest.approx(float(expected[ids[place]]), abs=1e-5)
        assert found.ranks[place] == int((expected > expected[ids[place]]).sum())
        assert found.entropies[place] == pytest.approx(float(-(expected.exp() * expected).sum()), abs=1e-4)
        best = expected[: tokenizer.vocab_size].topk(3)
        np.testing.assert_allclose(found.best_logprobs[place], best.values, atol=1e-5)
        assert found.best_tokens[place] == tuple(tokenizer.token(int(id)) for id in found.best_ids[place])


def test_they_are_those_that_the_engine_tells_while_it_writes(tokenizer: Tokenizer) -> None:
    model = model_of("modern", tokenizer)
    prompt = tokenizer.encode("the cat")
    sampling = Sampling(temperature=1.0, seed=3)
    request = Request(prompt, max_tokens=20, sampling=sampling, alternatives=0, below=tokenizer.vocab_size)
    written = list(Engine(model).submit(request))
    found = token_probabilities(model, tokenizer, [*prompt, *(token.id for token in written)])
    np.testing.assert_allclose(found.logprobs[len(prompt) :], [token.logprob for token in written], atol=1e-4)


def test_a_string_is_encoded_and_probabilities_are_the_logarithms_undone(tokenizer: Tokenizer) -> None:
    model = model_of("llama", tokenizer)
    found = token_probabilities(model, tokenizer, "the cat")
    assert "".join(found.tokens) == "the cat"
    np.testing.assert_allclose(found.probabilities[1:], np.exp(found.logprobs[1:]))
    assert found.best_ids.shape == (7, 5)


@pytest.mark.parametrize("n_kv_head", [4, 2, 1])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_attention_is_what_the_model_mixes_its_values_with(
    family: str, n_kv_head: int, tokenizer: Tokenizer
) -> None:
    if family in ("gpt2", "lecture") and n_kv_head != 4:
        pytest.skip("every head of this family has keys of its own")
    model = model_of(family, tokenizer, n_kv_head=n_kv_head)
    given: list[torch.Tensor] = []
    made: list[torch.Tensor] = []
    layers = [module for module in model.modules() if isinstance(module, CausalSelfAttention)]

    def note(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        given.append(inputs[0])
        made.append(output)

    for layer in layers:
        layer.register_forward_hook(note)
    ids = tokenizer.encode(TEXT[:LENGTH])
    weights = attention_of(model, ids)
    assert weights.shape == (2, 4, LENGTH, LENGTH) and weights.dtype == torch.float32
    assert len(made) == 2
    for layer, x, output, looks in zip(layers, given, made, weights, strict=True):
        values = layer.split_heads(layer.value(x))[0].transpose(0, 1)  # (G, T, D)
        mixed = looks @ values.repeat_interleave(4 // values.size(0), dim=0)  # (H, T, D)
        torch.testing.assert_close(
            layer.output(mixed.transpose(0, 1).flatten(1))[None], output, atol=1e-4, rtol=1e-4
        )


def test_nothing_looks_ahead_and_each_row_adds_up_to_one(tokenizer: Tokenizer) -> None:
    weights = attention_of(model_of("modern", tokenizer), tokenizer.encode("the cat"))
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 4, 7))
    assert not weights.triu(1).any()


def test_dropout_is_off_and_the_model_is_left_as_it_was(tokenizer: Tokenizer) -> None:
    model = model_of("gpt2", tokenizer)
    ids = tokenizer.encode("the cat")
    quiet = attention_of(model, ids)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.train()
    assert torch.equal(attention_of(model, ids), quiet)
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", [1, 6, LENGTH, LENGTH + 1, 20])
def test_a_token_was_chosen_by_the_last_row_of_what_the_model_saw(
    family: str, place: int, tokenizer: Tokenizer
) -> None:
    model, ids = model_of(family, tokenizer), tokenizer.encode(TEXT)
    look = looked_at(model, tokenizer, ids, place)
    start = window_start(place, LENGTH)
    np.testing.assert_allclose(look.weights, attention_of(model, ids[start:place])[:, :, -1], atol=1e-6)
    assert look.seen.tolist() == list(range(start, place))
    assert (look.token, "".join(look.tokens)) == (tokenizer.token(ids[place]), TEXT[start:place])
    assert look.by_layer.shape == (2, place - start)
    assert look.overall.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_bigram_says_that_it_has_no_attention(tokenizer: Tokenizer) -> None:
    model = model_of("bigram", tokenizer)
    for ask in (lambda: attention_of(model, [1, 2]), lambda: looked_at(model, tokenizer, [1, 2], 1)):
        with pytest.raises(ModelError, match="bigram has no attention"):
            ask()


def test_what_cannot_be_told_is_refused(tokenizer: Tokenizer) -> None:
    model = model_of("modern", tokenizer)
    for place in (0, -1, 3):
        with pytest.raises(UsageError, match="from 1 to 2"):
            looked_at(model, tokenizer, [1, 2, 3], place)
    for ids in ([], [10_000]):
        with pytest.raises(ModelError):
            token_probabilities(model, tokenizer, ids)
        with pytest.raises(ModelError):
            attention_of(model, ids)
    with pytest.raises(ModelError, match="context_length"):
        attention_of(model, [1] * (LENGTH + 1))
    with pytest.raises(UsageError, match="alternatives"):
        token_probabilities(model, tokenizer, "the", alternatives=0)
