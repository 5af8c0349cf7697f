"""Parameters and FLOPs from the config alone, held against the model and PyTorch's own counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT
from homespun.model.size import flops_per_token, number_of_parameters
from tests.model.shapes import FAMILY_NAMES, random_ids, tiny


@st.composite
def configs(draw: st.DrawFn) -> GPTConfig:
    n_kv_head = draw(st.integers(1, 3))
    n_head = n_kv_head * draw(st.integers(1, 3))
    return GPTConfig.of(
        draw(st.sampled_from(FAMILY_NAMES)),
        vocab_size=draw(st.integers(1, 70)),
        context_length=draw(st.integers(1, 20)),
        n_layer=draw(st.integers(1, 3)),
        n_head=n_head,
        n_kv_head=n_kv_head,
        n_embd=draw(st.integers(1, 40)),
        n_inner=draw(st.integers(1, 50)),
        head_width=2 * draw(st.integers(1, 9)),
        tied_head=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(configs())
def test_the_number_of_parameters_is_that_of_the_model_whatever_the_shape(config: GPTConfig) -> None:
    with torch.device("meta"):
        model = GPT(config)
    # A lecture's tied head has a bias of its own still, as counted.
    assert number_of_parameters(config) == model.number_of_parameters()


def test_a_bigram_has_a_number_for_every_pair() -> None:
    config = BigramConfig(vocab_size=65)
    assert number_of_parameters(config) == Bigram(config).number_of_parameters() == 4225
    assert flops_per_token(config) == 0


def test_the_lectures_toy_has_209729_parameters() -> None:
    toy = GPTConfig.of("lecture", vocab_size=65, context_length=32, n_layer=4, n_head=4, n_embd=64)
    assert number_of_parameters(toy) == 209_729
    assert GPT(toy).number_of_parameters() == 209_729


def test_gpt2_has_the_size_that_it_was_published_with() -> None:
    gpt2 = GPTConfig.of("gpt2", vocab_size=50_257, context_length=1024, n_layer=12, n_head=12, n_embd=768)
    assert number_of_parameters(gpt2) == 124_439_808


@pytest.mark.parametrize("changes", [{}, {"n_kv_head": 1}, {"head_width": 10, "n_inner": 50}, {"tied_head": True}])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_flops_are_those_that_pytorch_counts(family: str, changes: dict[str, Any]) -> None:
    config = tiny(family, **changes)
    model, ids = GPT(config), random_ids(config, 2, config.context_length)
    tokens = ids.numel()
    with FlopCounterMode(display=False) as forward:
        _, loss = model(ids, ids)
    assert forward.get_total_flops() == tokens * flops_per_token(config)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    counted = forward.get_total_flops() + backward.get_total_flops()
    assert counted == tokens * flops_per_token(config, training=True)
