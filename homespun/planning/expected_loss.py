"""What loss to expect, before anything is trained: from the model's size, the tokens it will read, and the text.

A text is told by what counting n-grams reaches on it (`Counted`): held against that, models of one kind
come out much the same on plays, code and other texts. The rest is a law of the kind of Hoffmann et al. 2022
(arXiv 2203.15556): a part that no model gets below, a part that a larger one has less of, and a part that
more tokens take away. A token of a large batch counts for less (McCandlish et al. 2018, arXiv 1812.06162), one
that is read again, too (Muennighoff et al. 2023, arXiv 2305.16264); and a text that is read too often is
learnt by heart, which costs.

The constants are fitted to runs of our own, which stand in benchmarks/losses.jsonl: `make fit` fits them again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from homespun.model.config import ModelConfig
from homespun.model.families import FAMILIES

MILLION = 1e6


@dataclass(frozen=True)
class Law:
    """Constants of the expectation; sizes and tokens are in millions.

    floor                 share of what counting reaches that is left however large the model and long the text
    size, size_power      what a model of a million matrix entries is worse by, and how fast that falls with size
    data, data_power      the same for a million tokens
    batch                 tokens a step (in millions) at which a token counts for half
    context               what a context of one token would cost; it falls as one over the context
    again                 times a text can be read until reading it again is worth hardly anything
    heart, heart_power    what learning the text by heart costs after one reading, and how fast that grows
    drop_size             what a fifth of dropout leaves of a model's size, …
    drop_again            … times it makes of `again`, …
    drop_heart, drop_power … and what learning by heart costs then, for a model that is `overfit_pressure` once
    static_power          how much dearer a text is that has names of its own where it is guessed
    cache_power           how much cheaper one is that says things again at once, for who can look back, …
    cache_tokens          … which a model of a million matrix entries has half learnt after so many tokens, …
    cache_size            … and a larger one sooner
    spread                standard deviation of what runs came to, as a share of what was expected
    """

    floor: float
    size: float
    size_power: float
    data: float
    data_power: float
    batch: float
    context: float
    again: float
    heart: float
    heart_power: float
    drop_size: float
    drop_again: float
    drop_heart: float
    drop_power: float
    static_power: float
    cache_power: float
    cache_tokens: float
    cache_size: float
    spread: float


LAW = Law(
    floor=0.764,
    size=0.0456,
    size_power=0.388,
    data=0.105,
    data_power=0.48,
    batch=0.00783,
    context=0.746,
    again=7.38,
    heart=0.000526,
    heart_power=1.61,
    drop_size=0.187,
    drop_again=4.16,
    drop_heart=0.000141,
    drop_power=3.69,
    static_power=0.416,
    cache_power=7.63,
    cache_tokens=3.19,
    cache_size=0.446,
    spread=0.027,
)


@dataclass(frozen=True)
class Counted:
    """What counting reaches on a text, in nats per token (dataset/ngrams.py).

    best    that of the best number of tokens to count together
    static  the same where nothing is counted of what has been guessed
    cached  best, with a cache of what stood last. Source code says the same names again and again, so this is
            lower there. A network sees them in its context; that it looks back at them it has to learn first.
    """

    best: float
    static: float
    cached: float

    def reached(self, learnt: float, entries: float, law: Law = LAW) -> float:
        """The loss that a model of so many million matrix entries is held against after so many million tokens."""
        looks_back = learnt / (learnt + law.cache_tokens * entries**-law.cache_size)
        names = (self.static / self.best) ** law.static_power
        return self.best * names * (self.cached / self.best) ** (law.cache_power * looks_back)


def expected_loss(
    config: ModelConfig,
    steps: int,
    tokens_per_step: int,
    train_tokens: int,
    counted: Counted | None = None,
    law: Law = LAW,
) -> float:
    """Nats per token on the validation text after so many steps.

    Where nobody has counted, a share of what counting would reach, which still puts the models of a text in order.
    """
    entries = config.n_layer * config.matrix_entries() / MILLION
    read = steps * tokens_per_step / MILLION
    times = steps * tokens_per_step / train_tokens
    learnt = read / (1 + tokens_per_step / MILLION / law.batch)
    fifths = config.dropout / 0.2
    again = law.again * law.drop_again**fifths
    learnt *= again / times * (1 - math.exp(-times / again))
    entries *= law.drop_size**fifths
    share = law.floor + law.size * entries**-law.size_power + law.data * learnt**-law.data_power
    share += law.context / config.context_length
    by_heart = law.heart * times**law.heart_power
    drilled_in = law.drop_heart * overfit_pressure(config, times, train_tokens) ** law.drop_power
    share *= 1 + max(0.0, 1 - fifths) * by_heart + min(1.0, fifths) * drilled_in
    reached = counted.reached(learnt, entries, law) if counted else 1.0
    return reached * share * FAMILIES[config.family].loss_factor


def overfit_pressure(config: ModelConfig, times: float, train_tokens: int) -> float:
    """How often a model meets what it could keep: times a text is read, times matrix entries a token, in hundreds.

    With dropout a text is learnt by heart by a large model that reads it often, and a small one can read on: the
    loss of runs of ours turned between 2 and 4. Without it, a few readings are too many for models of all sizes.
    """
    entries = config.n_layer * config.matrix_entries()
    return times * entries / train_tokens / 100
