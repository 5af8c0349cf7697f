"""A shuffled order that takes no memory, however long it is.

An array of shuffled numbers would need 8 bytes for each of them, and would
depend on the random generator of the NumPy release at hand. A Feistel network,
the way block ciphers are built, computes the number at any one place instead.
It uses nothing but whole-number arithmetic, so it stays the same for good.
(Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains".)
"""

from __future__ import annotations

import numpy as np

ROUNDS = 8


def mixed(numbers: np.ndarray | int) -> np.ndarray:
    """uint64 -> uint64 of the same shape: equal numbers give equal results, close ones give unrelated ones.

    The last step of splitmix64 (Steele, Lea and Flood 2014).
    """
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2**64, and means to be
        z = np.asarray(numbers, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def shuffled(places: np.ndarray, length: int, keys: np.ndarray | int) -> np.ndarray:
    """What stands at `places` of the numbers 0 … length-1, shuffled.

    places: integers from 0 to length-1, any shape.
    keys: uint64, one for all or one for each place; each key is an order of its own.
    Returns uint64 of the shape of `places`.

    >>> [int(n) for n in shuffled(np.arange(6), 6, keys=1)]
    [1, 2, 5, 3, 0, 4]
    """
    half_bits = max(1, ((length - 1).bit_length() + 1) // 2)
    numbers = np.array(places, dtype=np.uint64)
    keys = np.broadcast_to(np.asarray(keys, dtype=np.uint64), numbers.shape)
    # The network shuffles 0 … 4**half_bits - 1, which may be more than length. Whoever lands
    # outside goes through it again, and so in the end returns inside, to a place of its own.
    outside = np.ones(numbers.shape, dtype=bool)
    while outside.any():
        numbers[outside] = feistel(numbers[outside], half_bits, keys[outside])
        outside = numbers >= np.uint64(length)
    return numbers


def feistel(numbers: np.ndarray, half_bits: int, keys: np.ndarray) -> np.ndarray:
    """A one-to-one map of 0 … 4**half_bits - 1 onto itself: each round scrambles one half by the other."""
    bits = np.uint64(half_bits)
    mask = np.uint64((1 << half_bits) - 1)
    left, right = numbers >> bits, numbers & mask
    for round_number in range(ROUNDS):
        keys = mixed(keys ^ np.uint64(round_number))
        left, right = right, left ^ (mixed(keys ^ right) & mask)
    return (left << bits) | right
