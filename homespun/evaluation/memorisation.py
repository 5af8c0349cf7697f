"""Measure how much of a text occurs verbatim in the text that a model was trained on.

A share alone says little: people write "once upon a time", too. So the model's texts are compared with three
others: the held-out text, which nobody memorised; texts of a plain n-gram model, which has nothing but fragments
of the training text; and texts of randomly drawn tokens (chance). A model that copies more than the held-out text
does has memorised passages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from homespun.dataset.copies import copied_passages, least_length, longest_copy
from homespun.dataset.ngrams import ngram_baselines, spread, write

if TYPE_CHECKING:
    from homespun.dataset.preparation import Dataset
    from homespun.tokenizer.tokenizer import Tokenizer

MOST_HELD_OUT = 50_000  # tokens of the held-out text that are searched for
MOST_SHOWN = 3  # passages


@dataclass(frozen=True)
class Copied:
    """How much of one text occurs in the training text.

    tokens: of the text. share: the share of them in passages that occur in the training text.
    passages: the number of those passages. longest: tokens of the longest copy, which may be shorter than a
    passage.
    longest_text: that copy. examples: the longest passages.
    """

    tokens: int
    share: float
    passages: int
    longest: int
    longest_text: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Memorisation:
    """texts: the results by source: "model", "held out", "n-grams" and "chance".

    least: the minimum length of a passage in tokens. n: the order of the n-gram model, the one that predicts the
    held-out text best. trained_on: tokens of the training text.
    """

    texts: dict[str, Copied]
    least: int
    n: int
    trained_on: int


def memorisation(
    dataset: Dataset, tokenizer: Tokenizer, generated: Sequence[np.ndarray], held_out: np.ndarray | None = None
) -> Memorisation:
    """Return how much of the generated texts occurs in the training text, and three texts to compare them with.

    generated: texts of the model as ids, (n,) each. held_out: the text to compare with, (N,); None is the
    validation split.
    """
    assert len(generated) > 0, "there is a text to look at"
    train = dataset.train.ids
    held_out = dataset.val.ids if held_out is None else held_out
    losses = ngram_baselines(train, dataset.val.ids, dataset.vocab_size).losses
    n = 1 + losses.index(min(losses))
    tokens = max(map(len, generated))
    texts: Mapping[str, Sequence[np.ndarray]] = {
        "model": generated,
        "held out": [spread(held_out, MOST_HELD_OUT)],
        "n-grams": list(write(train, n, tokens, len(generated))),
        "chance": list(write(train, 1, tokens, len(generated))),
    }
    least = least_length(dataset.characters_per_token)
    found = {name: copied(train, parts, tokenizer, least) for name, parts in texts.items()}
    return Memorisation(found, least, n, len(train))


def copied(train: np.ndarray, texts: Sequence[np.ndarray], tokenizer: Tokenizer, least: int) -> Copied:
    """Return how much of these texts occurs in `train` (N,), all as ids, in passages of `least` tokens or more."""
    ids = apart(texts, tokenizer.vocab_size)
    passages = copied_passages(train, ids, least)
    covered = np.zeros(len(ids), bool)
    for passage in passages:
        covered[passage.start : passage.start + passage.length] = True
    longest = longest_copy(train, ids, least)

    def text_of(start: int, length: int) -> str:
        return tokenizer.decode(ids[start : start + length])

    examples = sorted(passages, key=lambda passage: -passage.length)[:MOST_SHOWN]
    tokens = sum(map(len, texts))
    return Copied(
        tokens=tokens,
        share=float(covered.sum()) / max(1, tokens),
        passages=len(passages),
        longest=longest.length,
        longest_text=text_of(longest.start, longest.length),
        examples=tuple(text_of(passage.start, passage.length) for passage in examples),
    )


def apart(texts: Sequence[np.ndarray], no_token: int) -> np.ndarray:
    """Return the texts one after another, with an id that no text has after each: no passage crosses it.

    >>> apart([np.array([1, 2]), np.array([3])], no_token=9).tolist()
    [1, 2, 9, 3, 9]
    """
    return np.concatenate([np.append(text.astype(np.int64), no_token) for text in texts])
