"""How much of the validation split stands in the training split, too, in ids: what a model could know by heart."""

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

FEWEST_TOKENS = 13  # as GPT-3's authors counted (Brown et al. 2020, appendix C)
FEWEST_CHARACTERS = 50  # where tokens are single characters, 13 of them are common words
MOST_WINDOWS = 50_000  # of the validation split; shares come out to 0.2 of a percent
BLOCK = 2**18  # ids at a time: what is computed of them fits the processor's cache
BASE = np.uint64(0xD1342543DE82EF95)  # odd, so that it has an inverse modulo 2**64
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))


def leakage(dataset: Dataset) -> Finding | None:
    """A finding where more of the validation split is in the training split than is natural in a text."""
    length = max(FEWEST_TOKENS, math.ceil(FEWEST_CHARACTERS / dataset.characters_per_token))
    share = shared(dataset.train.ids, dataset.val.ids, length)
    return None if share is None else describe_leak(share)


def shared(train: np.ndarray, val: np.ndarray, length: int) -> float | None:
    """The share of the windows of `length` ids in val that are in train, too; None where there are few.

    train, val: (N,), memory-mapped arrays are fine. Windows of val are taken at even distances, those of train
    all of them, so this is exact for the windows that were taken. Takes about 10 s for 100 million ids.
    """
    windows = len(val) - length + 1
    if windows < FEWEST_PASSAGES:
        return None
    wanted = np.concatenate(list(window_prints(val, length)))
    wanted = wanted[:: -(-windows // MOST_WINDOWS)]
    # Nearly all windows of train are told apart from the wanted ones by 20 of their bits.
    maybe = np.zeros(2**20, bool)
    maybe[wanted >> np.uint64(44)] = True
    found = [block[maybe[block >> np.uint64(44)]] for block in window_prints(train, length)]
    return float(np.isin(wanted, np.concatenate([np.zeros(0, np.uint64), *map(np.unique, found)])).mean())


def window_prints(ids: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """The fingerprints of all windows of `length` ids, in blocks of uint64.

    A window's is the polynomial of its scrambled ids at BASE, modulo 2**64, from the difference of two running
    sums (Karp and Rabin 1987).
    """
    powers = np.cumprod(np.full(BLOCK + length, BASE), dtype=np.uint64)
    inverses = np.cumprod(np.full(BLOCK + length, INVERSE), dtype=np.uint64)
    for start in range(0, len(ids) - length + 1, BLOCK):
        block = mixed(ids[start : start + BLOCK + length - 1])
        sums = np.cumsum(np.append(np.uint64(0), block * powers[: len(block)]), dtype=np.uint64)
        differences = sums[length:] - sums[:-length]
        yield differences * inverses[: len(differences)]
