"""Choosing a token: plain functions of logits, whose last dimension is the vocabulary V.

They are applied in this order: repetition penalty, frequency and presence penalties, bias, what a constraint
allows, temperature, top-k, top-p, min-p, then the draw. A token that may not be chosen any more has a logit of
minus infinity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.generation.settings import Sampling

# Divided by less than this, logits overflow; the likeliest token has all the probability long before.
COLDEST = 1e-6
WORTH_THREADS = 2**18  # logits, some hundred microseconds of one thread: several are quicker with more


def with_repetition_penalty(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """logits (…, V), seen (…, V) booleans -> (…, V): tokens that are in the text already become less likely.

    Their logits are divided by the penalty where they are positive and multiplied where they are not
    (Keskar et al. 2019, arXiv 1909.05858).

    >>> with_repetition_penalty(torch.tensor([1.0, 2.0, -1.0]), torch.tensor([False, True, True]), 2.0).tolist()
    [1.0, 1.0, -2.0]
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def with_penalties(logits: Tensor, counts: Tensor, frequency: float, presence: float) -> Tensor:
    """logits (…, V), counts (…, V): how often each token was generated -> (…, V), by OpenAI's formula:

    each logit less `frequency` for every time the token was generated, and less `presence` where it was at all.

    >>> with_penalties(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 3]), 0.5, 0.25).tolist()
    [1.0, 1.25, 2.25]
    """
    return logits - frequency * counts - presence * (counts > 0)


def with_bias(logits: Tensor, bias: Mapping[int, float]) -> Tensor:
    """logits (…, V) -> (…, V), with a number added to the logits of some ids. Ids beyond V are left out.

    >>> with_bias(torch.tensor([1.0, 2.0, 4.0]), {0: 5.0, 2: float("-inf")}).tolist()
    [6.0, 2.0, -inf]
    """
    ids = [id for id in bias if id < logits.size(-1)]
    added = torch.zeros(logits.size(-1), dtype=logits.dtype)
    added[ids] = torch.tensor([bias[id] for id in ids], dtype=logits.dtype)
    return logits + added.to(logits.device)


def keep_allowed(logits: Tensor, allowed: Tensor) -> Tensor:
    """logits (…, V), allowed (…, V) booleans -> (…, V)

    >>> keep_allowed(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([True, True, False])).tolist()
    [1.0, 2.0, -inf]
    """
    return logits.masked_fill(~allowed, float("-inf"))


def with_temperature(logits: Tensor, temperature: float) -> Tensor:
    """logits (…, V) -> (…, V), all differences divided by the temperature, which is more than 0.

    >>> with_temperature(torch.tensor([1.0, 2.0, 4.0]), 0.5).tolist()
    [2.0, 4.0, 8.0]
    """
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """logits (…, V) -> (…, V) where the k largest stay; equals of the k-th stay with it.

    >>> keep_top_k(torch.tensor([1.0, 2.0, 4.0]), 2).tolist()
    [-inf, 2.0, 4.0]
    """
    smallest_kept = logits.topk(min(k, logits.size(-1)), dim=-1).values[..., -1:]  # (…, 1)
    return logits.masked_fill(logits < smallest_kept, float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """logits (…, V) -> (…, V) where the likeliest tokens stay, as many as it takes to have probability p.

    Nucleus sampling (Holtzman et al. 2019, arXiv 1904.09751). The likeliest always stays.

    >>> keep_top_p(torch.tensor([0.1, 0.2, 0.7]).log(), 0.8).isinf().tolist()
    [True, False, False]
    """
    if p >= 1.0:
        return logits  # all of them, whatever rounding makes of their sum
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)  # (…, V) both
    probabilities = softmax(ordered)
    likelier = probabilities.cumsum(dim=-1) - probabilities  # what the tokens before each one have
    too_late = likelier >= p
    too_late[..., 0] = False  # where p is so small that it is rounded to nothing
    leave = too_late.scatter(-1, order, too_late)  # back in the vocabulary's order
    return logits.masked_fill(leave, float("-inf"))


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """logits (…, V) -> (…, V) where tokens stay that are at least p times as likely as the likeliest.

    Min-p sampling (Nguyen et al. 2024, arXiv 2407.01082): strict where the model is sure, generous elsewhere.

    >>> keep_min_p(torch.tensor([0.1, 0.2, 0.7]).log(), 0.2).isinf().tolist()
    [True, False, False]
    """
    probabilities = softmax(logits)
    least = p * probabilities.amax(dim=-1, keepdim=True)  # (…, 1)
    return logits.masked_fill(probabilities < least, float("-inf"))


def choose(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """logits (…, V), draws (…): random numbers from 0 to below 1 -> ids (…), int64.

    In float32, and where the logits are; the draws come from a generator on the CPU, so that a seed means the same
    on every device. Each row is chosen by itself, so that it means the same whatever else is chosen beside it.
    Raises ModelError where the logits are not numbers.

    >>> logits = torch.tensor([[1.0, 4.0, 2.0], [3.0, 0.0, 1.0]])
    >>> choose(logits, Sampling(temperature=0), torch.zeros(2)).tolist()
    [1, 0]
    """
    logits = logits.detach().float()
    check(logits)
    return sample(logits, sampling, draws)


def sample(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """logits (N, V) in float32, draws (N) -> ids (N), -1 where a row cannot be chosen from: see `check`.

    >>> sample(torch.tensor([[1.0, 4.0], [1.0, float("nan")]]), Sampling(temperature=0), torch.zeros(2)).tolist()
    [1, -1]
    """
    highest = logits.amax(dim=-1)
    if not logits.is_cuda and math.isfinite(float(highest.sum())):  # a GPU would be waited for
        return chosen(logits, sampling, draws)
    return torch.where(highest.isfinite(), chosen(logits, sampling, draws), -1)


def chosen(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """logits (…, V) in float32, which can be chosen from, draws (…) -> ids (…)"""
    if sampling.temperature < COLDEST:
        return logits.argmax(dim=-1)
    logits = with_temperature(logits, sampling.temperature)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = keep_min_p(logits, sampling.min_p)
    return drawn(softmax(logits), draws)


def softmax(logits: Tensor) -> Tensor:
    """logits (…, V) -> probabilities (…, V). A few rows are computed one by one.

    PyTorch divides any two of them among its threads. To wake these takes longer than to compute 16 short rows,
    and they spin for some milliseconds afterwards, on the cores that the next decoding step needs. 16 rows of 65
    beside busy programs: 23 ms together, 0.08 ms one by one.

    >>> softmax(torch.zeros(2, 4)).tolist()
    [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """
    if logits.device.type != "cpu" or logits.numel() > WORTH_THREADS or logits.dim() != 2:
        return F.softmax(logits, dim=-1)
    return torch.stack([F.softmax(row, dim=-1) for row in logits])


def drawn(probabilities: Tensor, draws: Tensor) -> Tensor:
    """probabilities (…, V), draws (…) from 0 to below 1 -> ids (…), by the inverse of the cumulative distribution.

    >>> drawn(torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]]), torch.tensor([0.49, 0.5])).tolist()
    [0, 2]
    """
    ends = probabilities.double().cumsum(dim=-1)  # (…, V)
    where = draws.double()[..., None] * ends[..., -1:]
    return torch.searchsorted(ends, where, right=True)[..., 0]


def check(logits: Tensor) -> None:
    """Raises ModelError where logits (…, V) cannot be chosen from."""
    highest = logits.amax(dim=-1)  # NaN where there is one
    if math.isfinite(float(highest.sum())):
        return
    if bool((highest < float("inf")).all()):
        raise ModelError(
            "No token may come next: a bias or a constraint forbids them all.",
            "Forbid fewer ids, or let the constraint end.",
        )
    raise ModelError(
        "The model's predictions are not numbers.",
        "Its weights are damaged, or its training went astray: train it again with a lower learning rate.",
    )
