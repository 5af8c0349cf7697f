"""n-gram baselines: the loss of n-gram models, a reference value for every text.

They are computed before a network is trained and measure how predictable a text is: how well the next token can
be predicted from the token frequencies, from the token before it, from the two before it, and so on. A network
that does not beat these baselines has learned nothing useful; how far it gets below them is much the same for all
texts, and the plan's expected loss is based on that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LENGTHS = (1, 2, 3, 4, 5, 6)  # orders of the n-grams; longer ones seldom occur a second time
MOST_COUNTED = 400_000  # tokens of the training split that are counted; more cost more time than they are worth
MOST_GUESSED = 40_000  # tokens of the validation split that are predicted
# chunks that the tokens are taken from, spread over the split, because no text is the same everywhere
STRETCHES = 20
REMEMBERED = 500  # tokens of such a chunk that the cache covers: some lines, as a model's context does
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # of the cache model; the best one is chosen

FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplication modulo 2**64 loses no information


@dataclass(frozen=True)
class NgramBaselines:
    """Losses of the n-gram baselines in nats per token, each on the validation split.

    uniform     of the uniform distribution: ln of the vocabulary size
    losses              losses[n - 1] is the loss of the n-gram model of order n
    static              the best loss without counting the predicted text: far above the best of losses
                        if the validation split has names of its own
    cached              the best of losses with a cache model: below it if a text soon repeats what it
                        has just said, as source code does
    """

    uniform: float
    losses: tuple[float, ...]
    static: float
    cached: float

    @property
    def best(self) -> float:
        return min(self.losses)


def ngram_baselines(train: np.ndarray, val: np.ndarray, vocab_size: int) -> NgramBaselines:
    """Compute the n-gram baselines: count in `train` (N,) and predict `val` (M,), both ids; well under a second.

    Predicted tokens are counted too, just as a network sees the names further up in its context.

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
    """Return, for every position, counts over the earlier positions, (3, N): how often its n-gram occurred, how
    often its context occurred, and the number of different tokens that followed that context.

    new: which n-grams occur for the first time, if that is known from more text than this.
    """
    hits, _ = counted_before(grams)
    n, t = counted_before(contexts, marked=hits == 0 if new is None else new)
    return np.stack([hits, n, t])


def mixed(shares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the probabilities (M,) for contexts one token longer, by Witten-Bell smoothing (1991).

    A context that occurred n times, followed by t different tokens, gets weight n / (n + t); the rest of the
    weight goes to the context that is one token shorter.
    """
    hits, n, t = counts
    return np.where(n > 0, (hits + t * shares) / np.maximum(1, n + t), shares)


def with_a_cache(guessed: np.ndarray, shares: np.ndarray, vocab_size: int) -> float:
    """Return the loss of these probabilities (M,) with a cache model (Kuhn and De Mori 1990) at its best weight.

    The cache model is interpolated with them; it counts only within each chunk of REMEMBERED tokens.
    """
    stretches = np.arange(len(guessed)) // REMEMBERED
    apart = guessed.astype(np.int64) + stretches * (vocab_size + 1)  # no chunk uses counts of another
    own = np.full(len(guessed), 1.0 / vocab_size)
    for length in LENGTHS:
        own = mixed(own, counted(*hashes(apart, length)))
    return min(nats((1 - weight) * shares + weight * own) for weight in WEIGHTS)


def nats(shares: np.ndarray) -> float:
    """Return the mean negative log-likelihood of probabilities (M,), in nats per token."""
    return float(-np.log(shares).mean())


def counted_before(keys: np.ndarray, marked: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each key occurred earlier in `keys` (N,), and how many of those occurrences were marked.

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
    so_far = np.cumsum(marked[order]) - marked[order]  # marked entries among all keys before this one
    marks = np.empty(len(keys), dtype=np.int64)
    marks[order] = so_far - so_far[starts][group]
    return times, marks


def in_order(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted numbers, equal where keys (N,) are equal, and their places in `keys`, ascending among equals.

    Each key is hashed and its place is written into the lowest bits, so that plain integers are sorted; that
    takes a fifth of the time of an argsort of the keys. With 400,000 keys 45 bits remain for the hash: two
    different keys collide in about one of 400 texts.

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
    """Return, for every position, a hash of the `length` - 1 tokens before it, and a hash with its own token.

    The first positions have fewer tokens before them; they are padded as if the text began there.
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
    """Return at most `most` of the tokens: all of them, or chunks of equal length spread evenly over the text.

    >>> spread(np.arange(100), 20).tolist()[:3], len(spread(np.arange(100), 20))
    ([0, 5, 10], 20)
    """
    if len(ids) <= most:
        return np.asarray(ids)
    length = most // STRETCHES
    starts = [i * len(ids) // STRETCHES for i in range(STRETCHES)]
    return np.concatenate([ids[start : start + length] for start in starts])


def write(train: np.ndarray, length: int, tokens: int, texts: int, seed: int = 0) -> np.ndarray:
    """Sample texts from an n-gram model, (texts, tokens); the context is the `length` - 1 tokens before.

    Each text begins at a random place in train. length 1 draws every token by its frequency alone. Of a long text
    it counts as many tokens as `ladder` does.

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
        known = last > first  # the last context of the text may have occurred once, with no token after it
        first, last = np.where(known, first, 0), np.where(known, last, len(ids))
        written[:, place] = ids[order[rng.integers(first, last)]]
        before = np.append(before, written[:, place : place + 1], axis=1)[:, 1:] if length > 1 else before
    return written
