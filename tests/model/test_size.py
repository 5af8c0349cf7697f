"""Parameters and FLOPs from the config alone, held against the model and PyTorch's own counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig, ModelConfig
from homespun.model.gpt import GPT
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
    assert config.number_of_parameters() == model.number_of_parameters()


def test_a_bigram_has_a_number_for_every_pair() -> None:
    config = BigramConfig(vocab_size=65)
    assert config.number_of_parameters() == Bigram(config).number_of_parameters() == 4225
    assert config.flops_per_token() == 0


def test_the_lectures_toy_has_209729_parameters() -> None:
    toy = GPTConfig.of("lecture", vocab_size=65, context_length=32, n_layer=4, n_head=4, n_embd=64)
    assert toy.number_of_parameters() == 209_729
    assert GPT(toy).number_of_parameters() == 209_729


def test_gpt2_has_the_size_that_it_was_published_with() -> None:
    gpt2 = GPTConfig.of("gpt2", vocab_size=50_257, context_length=1024, n_layer=12, n_head=12, n_embd=768)
    assert gpt2.number_of_parameters() == 124_439_808


@pytest.mark.parametrize("changes", [{}, {"n_kv_head": 1}, {"head_width": 10, "n_inner": 50}, {"tied_head": True}])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_flops_are_those_that_pytorch_counts(family: str, changes: dict[str, Any]) -> None:
    config = tiny(family, **changes)
    model, ids = GPT(config), random_ids(config, 2, config.context_length)
    tokens = ids.numel()
    with FlopCounterMode(display=False) as forward:
        _, loss = model(ids, ids)
    assert forward.get_total_flops() == tokens * config.flops_per_token()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    counted = forward.get_total_flops() + backward.get_total_flops()
    assert counted == tokens * config.flops_per_token(training=True)


def questions(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_both_configs_answer_whatever_a_config_is_asked() -> None:
    asked = questions(ModelConfig)
    assert {"number_of_parameters", "flops_per_token", "memory"} <= asked
    for config in (tiny("modern"), BigramConfig(vocab_size=65)):
        for name in asked:
            value = getattr(config, name)
            if callable(value) and name != "with_":
                value = value(3) if name == "memory" else value()
            assert value is not None, name


def test_the_first_token_costs_what_the_matrices_do() -> None:
    config = tiny("modern", n_kv_head=2)
    entries = config.n_layer * config.matrix_entries() + config.n_embd * config.vocab_size
    assert config.flops_per_token(context=0) == 2 * entries
    assert config.flops_per_token(context=config.context_length) == config.flops_per_token()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_widths_and_scale_are_those_of_the_model(family: str) -> None:
    config = tiny(family, n_kv_head=2, head_width=10)
    attention = GPT(config).blocks[0].attention
    assert attention.query.out_features == config.query_width == 40
    assert attention.key.out_features == attention.value.out_features == config.key_width == 20
    assert config.scale == (32 if family == "lecture" else 10) ** -0.5
