from __future__ import annotations

import doctest
from dataclasses import fields

import pytest
import torch

from homespun.errors import HomespunError, ModelError, UsageError
from homespun.generation import kv_blocks, request, sampling, settings, stopping, window
from homespun.generation.sampling import choose as choose_with
from homespun.generation.sampling import keep_min_p, keep_top_k, keep_top_p, with_temperature
from homespun.generation.settings import Sampling
from homespun.kernels import rounding
from homespun.kernels.decoding import packing

PROBABILITIES = torch.tensor([0.05, 0.4, 0.15, 0.3, 0.1])


def choose(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    return choose_with(logits, sampling, torch.rand(logits.shape[:-1], generator=generator))


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kept(logits: torch.Tensor) -> list[int]:
    return (~logits.isinf()).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    "module",
    [sampling, settings, stopping, kv_blocks, request, rounding, window, packing],
    ids=lambda module: module.__name__,
)
def test_the_worked_examples_are_right(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.failed == 0
    assert outcome.attempted > 0


@pytest.mark.parametrize(
    "k, expected", [(1, [1]), (2, [1, 3]), (4, [1, 2, 3, 4]), (5, [0, 1, 2, 3, 4]), (99, [0, 1, 2, 3, 4])]
)
def test_top_k_keeps_the_k_likeliest(k: int, expected: list[int]) -> None:
    assert kept(keep_top_k(PROBABILITIES.log(), k)) == expected


@pytest.mark.parametrize(
    "p, expected", [(0.01, [1]), (0.4001, [1, 3]), (0.69, [1, 3]), (0.71, [1, 2, 3]), (1.0, [0, 1, 2, 3, 4])]
)
def test_top_p_keeps_as_many_as_it_takes(p: float, expected: list[int]) -> None:
    assert kept(keep_top_p(PROBABILITIES.log(), p)) == expected


@pytest.mark.parametrize("p, expected", [(0.0, [0, 1, 2, 3, 4]), (0.2, [1, 2, 3, 4]), (0.5, [1, 3]), (1.0, [1])])
def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest(p: float, expected: list[int]) -> None:
    assert kept(keep_min_p(PROBABILITIES.log(), p)) == expected


def test_samplers_agree_with_transformers() -> None:
    process = pytest.importorskip("transformers.generation.logits_process")
    logits = torch.randn(64, 200, generator=draws()) * 3
    ours_and_theirs = [
        (with_temperature(logits, 0.7), process.TemperatureLogitsWarper(0.7)),
        (keep_top_k(logits, 17), process.TopKLogitsWarper(17)),
        (keep_top_p(logits, 0.9), process.TopPLogitsWarper(0.9)),
        (keep_min_p(logits, 0.05), process.MinPLogitsWarper(0.05)),
    ]
    for ours, theirs in ours_and_theirs:
        torch.testing.assert_close(ours, theirs(None, logits))


@pytest.mark.parametrize(
    "sampler",
    [
        lambda x: with_temperature(x, 0.5),
        lambda x: keep_top_k(x, 3),
        lambda x: keep_top_p(x, 0.8),
        lambda x: keep_min_p(x, 0.1),
    ],
)
def test_samplers_work_on_any_number_of_rows_and_change_nothing_in_place(sampler) -> None:  # type: ignore[no-untyped-def]
    logits = torch.randn(2, 3, 11, generator=draws())
    before = logits.clone()
    together = sampler(logits)
    assert together.shape == logits.shape
    assert torch.equal(together[1, 2], sampler(logits[1, 2]))
    assert torch.equal(logits, before)


def test_temperature_zero_takes_the_likeliest_whatever_the_dice() -> None:
    assert {int(choose(PROBABILITIES.log(), Sampling(temperature=0), draws(seed))) for seed in range(20)} == {1}


def test_a_temperature_next_to_nothing_is_no_division_by_zero() -> None:
    for temperature in (1e-320, 1e-9, 1e-5):
        assert int(choose(PROBABILITIES.log(), Sampling(temperature=temperature), draws())) == 1


def test_choices_come_as_often_as_the_model_says() -> None:
    logits = PROBABILITIES.log().expand(20_000, 5)
    counts = choose(logits, Sampling(temperature=1.0), draws()).bincount(minlength=5) / 20_000
    torch.testing.assert_close(counts, PROBABILITIES, atol=0.015, rtol=0)


def test_what_was_left_out_is_never_chosen() -> None:
    logits = PROBABILITIES.log().expand(5_000, 5)
    assert set(choose(logits, Sampling(temperature=3.0, top_k=2), draws()).tolist()) == {1, 3}
    assert set(choose(logits, Sampling(temperature=1.0, top_p=0.6), draws()).tolist()) == {1, 3}
    assert set(choose(logits, Sampling(temperature=1.0, min_p=0.9), draws()).tolist()) == {1}


def test_one_token_alone_can_be_chosen_in_half_precision() -> None:
    assert int(choose(torch.zeros(1, dtype=torch.bfloat16), Sampling(top_k=5, top_p=0.5, min_p=0.5), draws())) == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_the_models_fault(bad: float) -> None:
    with pytest.raises(ModelError, match="not numbers"):
        choose(torch.tensor([0.0, bad]), Sampling(), draws())


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -0.1}, {"temperature": float("nan")}, {"temperature": float("inf")},
        {"temperature": "hot"},
        {"top_k": 0}, {"top_k": -3}, {"top_k": 2.5}, {"top_k": True},
        {"top_p": 0.0}, {"top_p": 1.01}, {"top_p": -1}, {"top_p": float("nan")},
        {"min_p": -0.1}, {"min_p": 1.5},
        {"seed": -1}, {"seed": 1.5}, {"seed": 2**64},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_by_name_and_value(settings: dict[str, object]) -> None:
    (name, value), *_ = settings.items()
    with pytest.raises(UsageError) as caught:
        Sampling(**settings)  # type: ignore[arg-type]
    assert name in caught.value.what and repr(value) in caught.value.what and caught.value.todo
    assert isinstance(caught.value, HomespunError) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    "settings", [{"temperature": 0}, {"top_k": 1}, {"top_p": 1}, {"min_p": 0}, {"min_p": 1}, {"seed": 0}], ids=str
)
def test_the_ends_of_every_range_are_allowed(settings: dict[str, float]) -> None:
    choose(PROBABILITIES.log(), Sampling(**settings), draws())  # type: ignore[arg-type]


def test_every_setting_explains_itself() -> None:
    for field in fields(Sampling):
        assert field.metadata["help"].endswith(".") and field.metadata["type"] in (int, float)
