"""Configs: what a family fills in, and what the messages say about numbers that make no model."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from homespun.errors import ModelError
from homespun.model.config import GPTConfig
from homespun.model.families import FAMILIES
from tests.model.shapes import FAMILY_NAMES, tiny


def test_five_families_are_trained_from_scratch() -> None:
    assert [name for name, family in FAMILIES.items() if family.trained] == list(FAMILY_NAMES)


def test_a_family_fills_in_what_is_left_out() -> None:
    config = tiny("modern")
    assert (config.n_kv_head, config.head_width, config.n_inner) == (4, 8, 96)
    assert (config.norm, config.position, config.qk_norm, config.bias) == ("rmsnorm", "rotary", True, False)
    assert tiny("gpt2").n_inner == 128


def test_gpt2_is_tied_and_the_lecture_is_not() -> None:
    assert tiny("gpt2").tied_head
    assert not tiny("lecture", vocab_size=5000).tied_head


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2"])
def test_a_large_vocabulary_shares_its_table(family: str) -> None:
    assert not tiny(family, vocab_size=256).tied_head
    assert tiny(family, vocab_size=257).tied_head


def test_a_config_does_not_change() -> None:
    config = tiny("modern")
    with pytest.raises(FrozenInstanceError):
        config.n_layer = 3  # type: ignore[misc]
    assert config.with_(n_layer=3).n_layer == 3
    assert config.n_layer == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layer": 0}, "n_layer is 0, which makes no model.\nn_layer is a whole number from 1 to 512."),
        (
            {"vocab_size": 2**30},
            "vocab_size is 1073741824, which makes no model.\nvocab_size is a whole number from 1 to 4,194,304.",
        ),
        (
            {"context_length": "64"},
            "context_length is '64', which makes no model.\ncontext_length is a whole number from 1 to 4,194,304.",
        ),
        ({"n_layer": True}, "n_layer is True, which makes no model.\nn_layer is a whole number from 1 to 512."),
        ({"n_embd": -4}, "n_embd is -4.\nn_embd is a whole number of at least 1."),
        ({"n_head": 1.5}, "n_head is 1.5.\nn_head is a whole number of at least 1."),
        (
            {"n_embd": 30},
            "n_embd = 30 cannot be shared out among n_head = 4 heads.\n"
            "Take a multiple of 4 for n_embd, such as 32.",
        ),
        (
            {"n_kv_head": 3},
            "n_head = 4 heads cannot share n_kv_head = 3 keys and values.\nn_kv_head has to divide n_head.",
        ),
        (
            {"n_embd": 36},
            "A head is 9 wide, and rotary positions turn pairs of numbers.\n"
            "Take an even head width: n_embd / n_head is 36 / 4 now.",
        ),
        ({"dropout": 1.0}, "dropout is 1.0.\ndropout is at least 0 and less than 1."),
        ({"dropout": float("nan")}, "dropout is nan.\ndropout is at least 0 and less than 1."),
        ({"norm_eps": 0.0}, "norm_eps is 0.0.\nnorm_eps is more than 0 and less than 1."),
        ({"rotary_base": 1.0}, "rotary_base is 1.0.\nrotary_base is more than 1."),
    ],
)
def test_numbers_that_make_no_model_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        tiny("modern", **changes)
    assert str(caught.value) == message


def test_an_unknown_family_is_told_the_known_ones() -> None:
    with pytest.raises(ModelError) as caught:
        tiny("bert")
    assert str(caught.value) == f"There is no family 'bert'.\nThe families are: {', '.join(FAMILIES)}."


@pytest.mark.parametrize("name", ["vocab_size", "dropout", "norm_eps", "rotary_base"])
@pytest.mark.parametrize("value", ["64", "", None, [1], True])
def test_what_is_no_number_is_told_by_name(name: str, value: object) -> None:
    sizes = {"vocab_size": 65, "context_length": 8, "n_layer": 1, "n_head": 1, "n_embd": 8}
    with pytest.raises(ModelError, match=f"^{name} is "):
        GPTConfig.of("modern", **{**sizes, name: value})  # type: ignore[arg-type]
