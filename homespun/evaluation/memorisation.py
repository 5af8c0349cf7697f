"""How much of a text stands word for word in the text that a model was trained on.

A share alone says little: people write "once upon a time", too. So beside what the model writes stand three
texts that nobody learnt by heart or everybody did: what was held out of the training text, what a plain
n-gram model writes, which knows nothing but stretches of the training text, and what chance makes of its tokens.
A model that copies more than held-out text does has learnt passages by heart.
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

MOST_HELD_OUT = 50_000  # tokens of the held-out text that are looked up
MOST_SHOWN = 3  # passages


@dataclass(frozen=True)
class Copied:
    """What of one text stands in the training text.

    tokens: of the text. share: of them, those in a passage that stands in the training text.
    passages: how many those are. longest: tokens of the longest stretch, which may be shorter than a passage.
    longest_text: that stretch. examples: the longest passages.
    """

    tokens: int
    share: float
    passages: int
    longest: int
    longest_text: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Memorisation:
    """texts: by what wrote them, "model", "held out", "n-grams" and "chance".

    least: tokens that a passage has at least. n: tokens that the n-gram model counts together, the number at
    which it guesses the held-out text best. trained_on: tokens of the training text.
    """

    texts: dict[str, Copied]
    least: int
    n: int
    trained_on: int


def memorisation(
    dataset: Dataset, tokenizer: Tokenizer, generated: Sequence[np.ndarray], held_out: np.ndarray | None = None
) -> Memorisation:
    """What of the generated texts stands in the training text, and of three others to compare it with.

    generated: texts of the model as ids, (n,) each. held_out: the text to compare with, (N,); None is what
    training kept back.
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
    """What of these texts stands in `train` (N,), all as ids, in passages of at least `least` tokens."""
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
    """The texts one after another, with an id between them that no text has: no passage goes across.

    >>> apart([np.array([1, 2]), np.array([3])], no_token=9).tolist()
    [1, 2, 9, 3, 9]
    """
    return np.concatenate([np.append(text.astype(np.int64), no_token) for text in texts])
