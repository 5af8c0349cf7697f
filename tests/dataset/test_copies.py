"""Passages that stand in another text, against a search of every pair of places."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.dataset import copies, ngrams
from homespun.dataset.copies import MOST_PLACES, copied_passages, longest_copy
from homespun.dataset.ngrams import write


@pytest.mark.parametrize("room", [copies, ngrams])
def test_the_examples_in_the_docstrings(room: object) -> None:
    assert doctest.testmod(room).failed == 0  # type: ignore[arg-type]


def shared_prefix(one: list[int], other: list[int]) -> int:
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def longest_from(source: list[int], ids: list[int], start: int) -> int:
    return max((shared_prefix(source[place:], ids[start:]) for place in range(len(source))), default=0)


TEXTS = st.lists(st.integers(0, 2), max_size=40)


@given(TEXTS, TEXTS, st.integers(1, 5))
def test_passages_are_those_of_the_plain_search(source: list[int], ids: list[int], least: int) -> None:
    expected, reached = [], 0
    for start in range(len(ids)):
        length = longest_from(source, ids, start)
        if length >= least and start + length > reached:
            expected.append((start, length))
            reached = start + length
    found = copied_passages(np.array(source, np.uint16), np.array(ids, np.int64), least)
    if max((source.count(token) for token in set(source)), default=0) <= MOST_PLACES:
        assert [passage[:2] for passage in found] == expected
    for start, length, place in found:
        assert ids[start : start + length] == source[place : place + length]


@given(TEXTS, TEXTS, st.integers(1, 60))
def test_the_longest_copy_does_not_depend_on_the_guess(source: list[int], ids: list[int], likely: int) -> None:
    if max((source.count(token) for token in set(source)), default=0) > MOST_PLACES:
        return
    expected = max((longest_from(source, ids, start) for start in range(len(ids))), default=0)
    assert longest_copy(np.array(source, np.uint16), np.array(ids, np.uint16), likely).length == expected


def test_a_passage_is_found_across_the_blocks_of_a_long_source() -> None:
    dice = np.random.default_rng(0)
    source = dice.integers(0, 5000, 600_000).astype(np.uint16)
    ids = np.concatenate([dice.integers(5000, 6000, 50), source[262_100:262_200], dice.integers(5000, 6000, 50)])
    assert copied_passages(source, ids, 20) == [(50, 100, 262_100)]


def test_a_passage_that_stands_there_very_often_is_found_all_the_same() -> None:
    source = np.tile(np.arange(30, dtype=np.uint16), 500)
    found = copied_passages(source, np.arange(30), 13)
    assert [passage[:2] for passage in found] == [(0, 30)]


def test_an_ngram_model_writes_only_what_it_has_counted() -> None:
    train = np.random.default_rng(1).integers(0, 4, 300)
    known = {tuple(train[i : i + 3]) for i in range(298)}
    written = write(train, 3, 50, 4)
    assert written.shape == (4, 50)
    assert all(tuple(text[i : i + 3]) in known for text in written for i in range(48))


def test_one_token_at_a_time_is_written_as_often_as_it_was_counted() -> None:
    train = np.array([0] * 900 + [1] * 100)
    assert write(train, 1, 1000, 10).mean() == pytest.approx(0.1, abs=0.02)


def test_the_same_seed_writes_the_same() -> None:
    train = np.random.default_rng(1).integers(0, 9, 1000)
    assert write(train, 2, 20, 3, seed=5).tolist() == write(train, 2, 20, 3, seed=5).tolist()
    assert write(train, 2, 20, 3, seed=5).tolist() != write(train, 2, 20, 3, seed=6).tolist()
