"""Counting n-grams, beside the same written down plainly with dictionaries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest

from homespun.dataset.ngrams import LENGTHS, REMEMBERED, ngram_baselines


def plainly(train: Sequence[int], val: Sequence[int], vocab_size: int, *, learns: bool) -> list[float]:
    """The loss for each length; learns: whether what has been guessed is counted, too."""
    ids = [-1] * max(LENGTHS) + [*train, *val]
    first = len(ids) - len(val)
    after: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    losses = np.zeros(len(LENGTHS))
    for place in range(max(LENGTHS), len(ids)):
        contexts = [tuple(ids[place - length + 1 : place]) for length in LENGTHS]
        if place >= first:
            share = 1 / vocab_size
            for rung, context in enumerate(contexts):
                seen = after[context]
                if n := seen.total():
                    share = (seen[ids[place]] + len(seen) * share) / (n + len(seen))
                losses[rung] -= math.log(share) / len(val)
        if place < first or learns:
            for context in contexts:
                after[context][ids[place]] += 1
    return losses.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_counting_is_what_it_is_with_dictionaries(seed: int) -> None:
    dice = np.random.default_rng(seed)
    words = [dice.integers(0, 9, size) for size in (2, 3, 5, 7)]
    ids = np.concatenate([words[one] for one in dice.integers(0, 4, 300)])
    train, val = ids[:-200], np.append(ids[-150:], [9, 9, 8] * 20)
    found = ngram_baselines(train, val, 10)
    assert found.losses == pytest.approx(plainly(train.tolist(), val.tolist(), 10, learns=True))
    assert found.static == pytest.approx(min(plainly(train.tolist(), val.tolist(), 10, learns=False)))
    assert found.static > found.best  # nine, nine, eight is new


def test_a_cache_helps_where_the_same_is_said_at_once_and_nowhere_else() -> None:
    dice = np.random.default_rng(0)

    def text(stretches: int, *, habits: bool) -> np.ndarray:
        """In each stretch there is one thing that follows each token, and in each stretch it is another."""
        parts = []
        for _ in range(stretches):
            follows, part = dice.permutation(50), [0]
            while len(part) < REMEMBERED:
                part.append(int(follows[part[-1]] if habits and dice.random() < 0.8 else dice.integers(50)))
            parts.append(part)
        return np.concatenate(parts)

    found = ngram_baselines(text(40, habits=True), text(8, habits=True), 50)
    assert found.cached < 0.8 * found.best
    found = ngram_baselines(text(40, habits=False), text(8, habits=False), 50)
    assert found.cached == pytest.approx(found.best, rel=0.01)
    assert found.best == pytest.approx(found.uniform, rel=0.01)


def test_one_token_to_count_and_one_to_guess_is_enough() -> None:
    found = ngram_baselines(np.array([1]), np.array([1]), 2)
    assert all(math.isfinite(loss) for loss in (*found.losses, found.static, found.cached))
