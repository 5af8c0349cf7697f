"""Choosing a token: plain functions of logits, whose last dimension is the vocabulary V.

They are applied in this order: temperature, top-k, top-p, min-p, then the dice.
A token that may not be chosen any more has a logit of minus infinity.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.generation.settings import Sampling

# Divided by less than this, logits overflow; the likeliest token has all the probability long before.
COLDEST = 1e-6


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
    probabilities = F.softmax(ordered, dim=-1)
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
    probabilities = F.softmax(logits, dim=-1)
    least = p * probabilities.amax(dim=-1, keepdim=True)  # (…, 1)
    return logits.masked_fill(probabilities < least, float("-inf"))


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """logits (…, V) -> ids (…), int64, on the CPU.

    In float32 and with the CPU's dice wherever the model runs, so that a seed means the
    same on every device. Raises ModelError where the logits are not numbers.

    >>> logits = torch.tensor([[1.0, 4.0, 2.0], [3.0, 0.0, 1.0]])
    >>> choose(logits, Sampling(temperature=0), torch.Generator()).tolist()
    [1, 0]
    """
    logits = logits.detach().float().cpu()
    if logits.isnan().any() or logits.isposinf().any():
        raise ModelError(
            "The model's predictions are not numbers.",
            "Its weights are damaged, or its training went astray: train it again with a lower learning rate.",
        )
    if sampling.temperature < COLDEST:
        return logits.argmax(dim=-1)
    logits = with_temperature(logits, sampling.temperature)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = keep_min_p(logits, sampling.min_p)
    probabilities = F.softmax(logits, dim=-1)
    drawn = torch.multinomial(probabilities.reshape(-1, logits.size(-1)), 1, generator=generator)  # (rows, 1)
    return drawn.reshape(logits.shape[:-1])
