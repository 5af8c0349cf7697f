"""Measure how much of the validation split is in the training split too, in ids: what a model may memorise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from homespun.dataset.finding import Finding
from homespun.dataset.repeats import FEWEST_PASSAGES, describe_leak
from homespun.dataset.shuffle import mixed

if TYPE_CHECKING:
    from homespun.dataset.preparation import Dataset

FEWEST_TOKENS = 13  # as in the GPT-3 paper (Brown et al. 2020, appendix C)
FEWEST_CHARACTERS = 50  # if tokens are single characters, 13 of them are often common words
MOST_WINDOWS = 50_000  # of the validation split; shares are then accurate to 0.2 percentage points
BLOCK = 2**18  # ids at a time: the intermediate arrays fit the CPU cache
BASE = np.uint64(0xD1342543DE82EF95)  # odd, so that it has an inverse modulo 2**64
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))


def leakage(dataset: Dataset) -> Finding | None:
    """Return a finding if more of the validation split is in the training split than is natural in a text."""
    length = max(FEWEST_TOKENS, math.ceil(FEWEST_CHARACTERS / dataset.characters_per_token))
    share = shared(dataset.train.ids, dataset.val.ids, length)
    return None if share is None else describe_leak(share)


def shared(train: np.ndarray, val: np.ndarray, length: int) -> float | None:
    """Return the share of the windows of `length` ids in val that are in train, too; None if val is too short.

    train, val: (N,), memory-mapped arrays are fine. Windows of val are sampled at equal distances and compared
    with all windows of train, so the result is exact for the sample. Takes about 10 s for 100 million ids.
    """
    windows = len(val) - length + 1
    if windows < FEWEST_PASSAGES:
        return None
    wanted = np.concatenate(list(window_prints(val, length)))
    wanted = wanted[:: -(-windows // MOST_WINDOWS)]
    # 20 of their bits rule out nearly all windows of train.
    maybe = np.zeros(2**20, bool)
    maybe[wanted >> np.uint64(44)] = True
    found = [block[maybe[block >> np.uint64(44)]] for block in window_prints(train, length)]
    return float(np.isin(wanted, np.concatenate([np.zeros(0, np.uint64), *map(np.unique, found)])).mean())


def window_prints(ids: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """Yield the fingerprints of all windows of `length` ids, in blocks of uint64.

    The fingerprint of a window is a polynomial hash of its hashed ids in BASE, modulo 2**64, computed as the
    difference of two prefix sums (Karp and Rabin 1987).
    """
    powers = np.cumprod(np.full(BLOCK + length, BASE), dtype=np.uint64)
    inverses = np.cumprod(np.full(BLOCK + length, INVERSE), dtype=np.uint64)
    for start in range(0, len(ids) - length + 1, BLOCK):
        block = mixed(ids[start : start + BLOCK + length - 1])
        sums = np.cumsum(np.append(np.uint64(0), block * powers[: len(block)]), dtype=np.uint64)
        differences = sums[length:] - sums[:-length]
        yield differences * inverses[: len(differences)]
