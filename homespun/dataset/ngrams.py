"""What counting reaches: the loss of n-gram models, a yardstick for every text.

Before a network is trained, this says what is easy in a text: how well the next token can be
guessed from how often it occurs, from the token before it, from the two before it, and so on. A
network that has learnt less than that has learnt nothing; how far it comes below it is much the
same for all texts, and that is what the plan's expectation rests on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LENGTHS = (1, 2, 3, 4, 5, 6)  # tokens that are counted together; longer ones are seldom there a second time
MOST_COUNTED = 400_000  # tokens of the training split; more take longer than they are worth
MOST_GUESSED = 40_000  # tokens of the validation split
STRETCHES = 20  # that the tokens are taken from, spread over the split: no text is the same all over
REMEMBERED = 500  # tokens of such a stretch that a cache reaches over: some lines, as a model's context does
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # of the cache, to choose from

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no token is lost from a hash


@dataclass(frozen=True)
class NgramBaselines:
    """Losses in nats per token, each on the validation split.

    uniform     that of a guess among all tokens alike: ln of the vocabulary
    losses              losses[n - 1] is that of n tokens counted together
    static              the best without having counted what has been guessed: far above the best of losses
                        where the validation split has names of its own
    cached              the best of losses with a cache: below it where a text says again at once what it has
                        just said, as source code does
    """

    uniform: float
    losses: tuple[float, ...]
    static: float
    cached: float

    @property
    def best(self) -> float:
        return min(self.losses)


def ngram_baselines(train: np.ndarray, val: np.ndarray, vocab_size: int) -> NgramBaselines:
    """Counts in `train` (N,) and guesses `val` (M,), both ids; well under a second.

    What has been guessed is counted, too, as a network sees the names of a page higher up on it.

    >>> found = ngram_baselines(np.array([0, 1] * 500), np.array([0, 1] * 50), 2)
    >>> [round(loss, 2) for loss in (found.uniform, found.losses[0], found.losses[1])]
    [0.69, 0.69, 0.0]
    """
    assert len(train) > 0 and len(val) > 0, "both splits have text"
    guessed = spread(val, MOST_GUESSED)
    ids = np.concatenate([spread(train, MOST_COUNTED), guessed])
    asked = slice(len(ids) - len(guessed), None)
    nothing = np.full(len(guessed), 1.0 / vocab_size)
    rungs = static = [nothing]
    for length in LENGTHS:
        contexts, grams = hashes(ids, length)
        counts = counted(contexts, grams)[:, asked]
        of_guessed = counted(contexts[asked], grams[asked], new=counts[0] == 0)
        rungs = [*rungs, mixed(rungs[-1], counts)]
        static = [*static, mixed(static[-1], counts - of_guessed)]
    uniform, *losses = map(nats, rungs)
    best = rungs[1 + int(np.argmin(losses))]
    return NgramBaselines(
        uniform,
        tuple(losses),
        static=min(map(nats, static[1:])),
        cached=with_a_cache(guessed, best, vocab_size),
    )


def counted(contexts: np.ndarray, grams: np.ndarray, new: np.ndarray | None = None) -> np.ndarray:
    """For every position, from what stood earlier: how often its gram did, how often its context, before how many
    different tokens; (3, N).

    new: which grams stand there for the first time, where that is known from more than these.
    """
    hits, _ = counted_before(grams)
    n, t = counted_before(contexts, marked=hits == 0 if new is None else new)
    return np.stack([hits, n, t])


def mixed(shares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The shares (M,) of contexts one token longer, by Witten and Bell's mixing (1991).

    A context that was seen n times, before t different tokens, is believed n / (n + t), and what is left is
    asked from the context that is one token shorter.
    """
    hits, n, t = counts
    return np.where(n > 0, (hits + t * shares) / np.maximum(1, n + t), shares)


def with_a_cache(guessed: np.ndarray, shares: np.ndarray, vocab_size: int) -> float:
    """The loss of those shares (M,) with a cache (Kuhn and De Mori 1990), whose weight is the one that helps most.

    What is counted in a stretch of REMEMBERED tokens, in it alone, is mixed in.
    """
    stretches = np.arange(len(guessed)) // REMEMBERED
    apart = guessed.astype(np.int64) + stretches * (vocab_size + 1)  # no stretch knows the tokens of another
    own = np.full(len(guessed), 1.0 / vocab_size)
    for length in LENGTHS:
        own = mixed(own, counted(*hashes(apart, length)))
    return min(nats((1 - weight) * shares + weight * own) for weight in WEIGHTS)


def nats(shares: np.ndarray) -> float:
    return float(-np.log(shares).mean())


def counted_before(keys: np.ndarray, marked: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How often each key stood earlier in `keys` (N,), and how many of those places were marked.

    >>> counted_before(np.array([7, 3, 7, 7]), marked=np.array([True, True, False, False]))
    (array([0, 0, 1, 2]), array([0, 0, 1, 1]))
    """
    ordered, order = in_order(keys)
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(is_first)
    group = np.cumsum(is_first) - 1
    times = np.empty(len(keys), dtype=np.int64)
    times[order] = np.arange(len(keys)) - starts[group]
    if marked is None:
        return times, times
    so_far = np.cumsum(marked[order]) - marked[order]  # of all keys up to there, without itself
    marks = np.empty(len(keys), dtype=np.int64)
    marks[order] = so_far - so_far[starts][group]
    return times, marks


def in_order(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that are alike where keys (N,) are, sorted; and the place of each in `keys`, ascending among equals.

    A key is hashed and its place written into the lowest bits: so plain numbers are sorted, which takes a fifth
    of what sorting places by their keys does. With 400,000 keys that leaves 45 bits: two different keys are taken
    for one once in 400 texts.

    >>> ordered, places = in_order(np.array([7, 3, 7, 7]))
    >>> sorted(places.tolist()), [place for place in places.tolist() if place != 1], len(set(ordered.tolist()))
    ([0, 1, 2, 3], [0, 2, 3], 2)
    """
    bits = np.uint64(len(keys).bit_length())
    places = (np.uint64(1) << bits) - np.uint64(1)
    packed = (keys.astype(np.uint64) * FACTOR) & ~places | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    return packed >> bits, (packed & places).astype(np.int64)


def hashes(ids: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """For every position, a number for the `length` - 1 tokens before it, and one for them and itself.

    The first positions have too few tokens before them and count as if they began the text.
    """
    tokens = ids.astype(np.uint64) + np.uint64(1)
    contexts = np.zeros(len(ids), dtype=np.uint64)
    for back in range(length - 1, 0, -1):
        earlier = np.concatenate([np.zeros(min(back, len(ids)), np.uint64), tokens[:-back]])[: len(ids)]
        contexts = (contexts ^ earlier) * FACTOR
        contexts ^= contexts >> np.uint64(29)
    grams = (contexts ^ tokens) * FACTOR
    return contexts, grams ^ (grams >> np.uint64(29))


def spread(ids: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the tokens: all of them, or stretches of equal length spread evenly over the text.

    >>> spread(np.arange(100), 20).tolist()[:3], len(spread(np.arange(100), 20))
    ([0, 5, 10], 20)
    """
    if len(ids) <= most:
        return np.asarray(ids)
    length = most // STRETCHES
    starts = [i * len(ids) // STRETCHES for i in range(STRETCHES)]
    return np.concatenate([ids[start : start + length] for start in starts])


def write(train: np.ndarray, length: int, tokens: int, texts: int, seed: int = 0) -> np.ndarray:
    """What an n-gram model writes, (texts, tokens): each token as it came after the `length` - 1 before it.

    Each text begins anywhere in train. length 1 draws every token by how often it stands there, and no more.
    It counts as much of a long text as `ngram_baselines` does.

    >>> [text] = write(np.array([0, 1, 2] * 9), length=2, tokens=4, texts=1).tolist()
    >>> text in ([0, 1, 2, 0], [1, 2, 0, 1], [2, 0, 1, 2])
    True
    """
    ids, rng = spread(train, MOST_COUNTED), np.random.default_rng(seed)
    contexts, _ = hashes(ids, length)
    order = np.argsort(contexts, kind="stable")
    contexts = contexts[order]
    starts = rng.integers(length - 1, len(ids), texts)
    before = ids[starts[:, None] + np.arange(1 - length, 0)]  # (texts, length - 1)
    written = np.empty((texts, tokens), ids.dtype)
    for place in range(tokens):
        asked = hashes(np.append(before, np.zeros((texts, 1), ids.dtype), axis=1).ravel(), length)[0]
        first = np.searchsorted(contexts, asked[length - 1 :: length])
        last = np.searchsorted(contexts, asked[length - 1 :: length], side="right")
        known = last > first  # the last words of the text may have come once, with nothing behind them
        first, last = np.where(known, first, 0), np.where(known, last, len(ids))
        written[:, place] = ids[order[rng.integers(first, last)]]
        before = np.append(before, written[:, place : place + 1], axis=1)[:, 1:] if length > 1 else before
    return written
