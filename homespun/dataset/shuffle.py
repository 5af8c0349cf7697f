"""A shuffled order that takes no memory, for any length.

A permutation stored as an array would need 8 bytes for each entry, and would
depend on the random generator of the installed NumPy release. A Feistel network,
the construction of block ciphers, computes the entry at any one place instead.
It uses only integer arithmetic, so the order never changes between versions.
(Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains".)
"""

from __future__ import annotations

import numpy as np

ROUNDS = 8


def mixed(numbers: np.ndarray | int) -> np.ndarray:
    """Hash uint64 -> uint64 of the same shape: equal numbers give equal results, close ones give unrelated ones.

    The last step of splitmix64 (Steele, Lea and Flood 2014).
    """
    with np.errstate(over="ignore"):  # overflow is intended: the arithmetic is modulo 2**64
        z = np.asarray(numbers, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def shuffled(places: np.ndarray, length: int, keys: np.ndarray | int) -> np.ndarray:
    """Return the entries at `places` of a permutation of 0 … length-1.

    places: integers from 0 to length-1, any shape.
    keys: uint64, one for all or one for each place; each key gives a different permutation.
    Returns uint64 of the shape of `places`.

    >>> [int(n) for n in shuffled(np.arange(6), 6, keys=1)]
    [1, 2, 5, 3, 0, 4]
    """
    half_bits = max(1, ((length - 1).bit_length() + 1) // 2)
    numbers = np.array(places, dtype=np.uint64)
    keys = np.broadcast_to(np.asarray(keys, dtype=np.uint64), numbers.shape)
    # The network permutes 0 … 4**half_bits - 1, which may be a larger range. A number that lands outside 0 …
    # length-1 is mapped again until it is inside (cycle walking); the result is still one-to-one.
    outside = np.ones(numbers.shape, dtype=bool)
    while outside.any():
        numbers[outside] = feistel(numbers[outside], half_bits, keys[outside])
        outside = numbers >= np.uint64(length)
    return numbers


def feistel(numbers: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
    """A one-to-one map of 0 … 4**half_bits - 1 onto itself: each round mixes one half with a hash of the other."""
    bits = np.uint64(half_bits)
    mask = np.uint64((1 << half_bits) - 1)
    left, right = numbers >> bits, numbers & mask
    for round_number in range(ROUNDS):
        keys = mixed(keys ^ np.uint64(round_number))
        left, right = right, left ^ (mixed(keys ^ right) & mask)
    return (left << bits) | right
