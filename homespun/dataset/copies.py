"""Find the passages of one text that occur verbatim in another, in ids: where they are and how long."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from homespun.dataset.ngrams import counted_before
from homespun.dataset.overlap import FEWEST_CHARACTERS, FEWEST_TOKENS, window_prints

MOST_PLACES = 16  # occurrences of a passage that are examined; a passage that occurs more often is a common one


class Passage(NamedTuple):
    """`length` ids from `start` on that occur in the source from `place` on."""

    start: int
    length: int
    place: int


def least_length(characters_per_token: float) -> int:
    """Return the least length of a passage worth reporting, in tokens: 13, or 50 characters where that is more.

    >>> least_length(1.0), least_length(4.5)
    (50, 13)
    """
    return max(FEWEST_TOKENS, math.ceil(FEWEST_CHARACTERS / characters_per_token))


def copied_passages(source: np.ndarray, ids: np.ndarray, least: int) -> list[Passage]:
    """Return the passages of ids (M,) of at least `least` tokens that occur in source (N,), none inside another.

    Each is the longest at its place. Passages may overlap. The result is exact, except that of a passage that
    occurs more than 16 times in the source only the first 16 places are examined. source may be memory-mapped: it
    is read once.

    >>> copied_passages(np.array([9, 1, 2, 3, 4, 9]), np.array([1, 2, 3, 7, 2, 3, 4]), least=3)
    [Passage(start=0, length=3, place=1), Passage(start=4, length=3, place=2)]
    """
    if min(len(source), len(ids)) < least:
        return []
    starts, places = same_windows(source, ids, least)
    lengths = extended(source, ids, starts, places)
    found: list[Passage] = []
    reached = 0
    for i in np.lexsort((places, -lengths, starts)).tolist():
        passage = Passage(int(starts[i]), int(lengths[i]), int(places[i]))
        end = passage.start + passage.length
        if passage.length >= least and end > reached:
            found.append(passage)
            reached = end
    return found


def same_windows(source: np.ndarray, ids: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of places (n,), (n,), in ids and source, of windows of `length` ids with equal fingerprints."""
    wanted = np.concatenate(list(window_prints(ids, length)))
    order = np.argsort(wanted, kind="stable")
    wanted = wanted[order]
    maybe = np.zeros(2**20, bool)  # 20 of their bits rule out nearly all windows of the source
    maybe[wanted >> np.uint64(44)] = True
    starts, places = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    taken, before = np.zeros(len(wanted), np.int64), 0
    for block in window_prints(source, length):
        near = np.flatnonzero(maybe[block >> np.uint64(44)])
        near = near[np.isin(block[near], wanted)]
        first = np.searchsorted(wanted, block[near])
        few = counted_before(first)[0] + taken[first] < MOST_PLACES if len(near) else np.zeros(0, bool)
        near, first = near[few], first[few]
        np.add.at(taken, first, 1)
        times = np.searchsorted(wanted, block[near], side="right") - first  # how often the window occurs in ids
        ends = np.cumsum(times)
        starts.append(order[np.arange(times.sum()) + np.repeat(first - (ends - times), times)])
        places.append(np.repeat(before + near, times))
        before += len(block)
    return np.concatenate(starts), np.concatenate(places)


def longest_copy(source: np.ndarray, ids: np.ndarray, likely: int) -> Passage:
    """Return the longest passage of ids that occurs in source.

    likely: the length that the search starts with; any length gives the same result.

    >>> longest_copy(np.array([9, 1, 2, 3, 4, 9]), np.array([1, 2, 7, 2, 3, 4]), likely=50)
    Passage(start=3, length=3, place=2)
    """
    while likely:
        if found := copied_passages(source, ids, likely):
            return max(found, key=lambda passage: passage.length)
        likely //= 2
    return Passage(0, 0, 0)


def extended(source: np.ndarray, ids: np.ndarray, starts: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return how many tokens are equal from each pair of places on, int64 (n,)."""
    lengths = np.zeros(len(starts), np.int64)
    going = np.arange(len(starts))
    while len(going):
        here, there = starts[going] + lengths[going], places[going] + lengths[going]
        going = going[(here < len(ids)) & (there < len(source))]
        same = ids[starts[going] + lengths[going]] == source[places[going] + lengths[going]]
        going = going[same]
        lengths[going] += 1
    return lengths
