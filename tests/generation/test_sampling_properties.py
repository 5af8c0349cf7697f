"""What holds for every sampler, whatever the model says and whatever is asked for."""

from __future__ import annotations

import math

import torch
from hypothesis import example, given
from hypothesis import strategies as st

from homespun.generation.sampling import choose as choose_with
from homespun.generation.sampling import keep_min_p, keep_top_k, keep_top_p, with_temperature
from homespun.generation.settings import Sampling

# Equals among them, differences that vanish in float32, and tokens that are impossible from the start.
LOGIT = st.one_of(st.floats(-60, 60, width=32), st.sampled_from([0.0, 1.0, -1.0, 1e30, -1e30, float("-inf")]))
LOGITS = st.lists(LOGIT, min_size=1, max_size=40).filter(lambda row: max(row) > -math.inf).map(torch.tensor)
SHARE = st.one_of(st.floats(1e-6, 1), st.sampled_from([5e-324, 1e-40, 1.0]))
SEED = st.integers(0, 2**31)


def choose(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> torch.Tensor:
    return choose_with(logits, sampling, torch.rand(logits.shape[:-1], generator=generator))


def kept(logits: torch.Tensor) -> set[int]:
    return {place for place, logit in enumerate(logits.tolist()) if logit > -math.inf}


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    return logits.double().softmax(-1)


@given(LOGITS, st.integers(1, 50))
def test_top_k_keeps_k_and_the_equals_of_the_last(logits: torch.Tensor, k: int) -> None:
    found = kept(keep_top_k(logits, k))
    least = sorted(logits.tolist(), reverse=True)[: min(k, len(logits))][-1]
    assert found == {place for place in kept(logits) if logits[place] >= least}


@given(LOGITS, SHARE)
def test_top_p_keeps_the_smallest_set_of_the_likeliest(logits: torch.Tensor, p: float) -> None:
    found = kept(keep_top_p(logits, p))
    share = probabilities(logits)
    left_out = kept(logits) - found
    assert found and found <= kept(logits)
    assert all(share[one] >= share[other] for one in found for other in left_out)
    together, least = float(sum(share[place] for place in found)), min(float(share[place]) for place in found)
    rounding = 1e-5
    assert together >= p - rounding  # enough, ...
    assert len(found) == 1 or together - least < p + rounding  # ... and with one fewer it would not be


@given(LOGITS, st.floats(1e-6, 1))
def test_min_p_keeps_what_is_likely_enough(logits: torch.Tensor, p: float) -> None:
    found = kept(keep_min_p(logits, p))
    ratio = probabilities(logits) / probabilities(logits).max()
    assert all(place in found for place in kept(logits) if logits[place] == logits.max())
    assert all(ratio[place] >= p * (1 - 1e-4) for place in found)
    assert all(ratio[place] <= p * (1 + 1e-4) for place in kept(logits) - found)


@given(LOGITS, st.floats(0.01, 100), st.integers(1, 50), SHARE, SHARE)
@example(torch.tensor([-1e-45, 0.0]), 2.0, 1, 0.5, 1.0)
def test_after_any_samplers_the_probabilities_are_probabilities(
    logits: torch.Tensor, temperature: float, k: int, top_p: float, min_p: float
) -> None:
    row = with_temperature(logits, temperature)  # where logits that hardly differ may become equals
    left = keep_min_p(keep_top_p(keep_top_k(row, k), top_p), min_p)
    share = left.softmax(-1)
    assert kept(left) and abs(float(share.sum()) - 1) < 1e-5 and float(share.min()) >= 0
    assert set(share.nonzero().flatten().tolist()) <= kept(left) <= kept(logits)
    assert any(row[place] == row.max() for place in kept(left))  # a likeliest one always stays


@given(LOGITS, st.floats(1e-5, 100), st.integers(1, 50), SHARE, st.floats(0, 1), SEED)
def test_what_is_chosen_is_among_what_every_sampler_allows(
    logits: torch.Tensor, temperature: float, k: int, top_p: float, min_p: float, seed: int
) -> None:
    sampling = Sampling(temperature=temperature, top_k=k, top_p=top_p, min_p=min_p)
    dice = torch.Generator().manual_seed(seed)
    chosen = int(choose(logits, sampling, dice))
    row = with_temperature(logits, temperature)
    assert chosen in kept(keep_top_k(row, k))
    assert chosen in kept(keep_top_p(keep_top_k(row, k), top_p))
    assert chosen in kept(keep_min_p(keep_top_p(keep_top_k(row, k), top_p), min_p))
    assert chosen == int(choose(logits, sampling, torch.Generator().manual_seed(seed)))


@given(LOGITS, st.integers(1, 50), SHARE, st.floats(0, 1), SEED)
def test_temperature_zero_is_the_likeliest_whatever_else_is_set(
    logits: torch.Tensor, k: int, top_p: float, min_p: float, seed: int
) -> None:
    sampling = Sampling(temperature=0.0, top_k=k, top_p=top_p, min_p=min_p)
    assert int(choose(logits, sampling, torch.Generator().manual_seed(seed))) == int(logits.argmax())
