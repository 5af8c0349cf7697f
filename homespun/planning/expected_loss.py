"""The expected loss, before training: from the model's size, the number of training tokens, and the text.

A text is characterised by its n-gram baselines (`Counted`). Relative to them, models of one family
reach similar losses on plays, code and other texts. The rest is a scaling law like that of Hoffmann et al. 2022
(arXiv 2203.15556): an irreducible part, a part that falls with model size, and a part that falls with
the number of tokens. Tokens of a large batch count for less (McCandlish et al. 2018, arXiv 1812.06162), and so
do repeated tokens (Muennighoff et al. 2023, arXiv 2305.16264); with too many epochs the model
overfits, which raises the loss.

The constants are fitted to our own runs, recorded in benchmarks/losses.jsonl; `make fit` fits them again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from homespun.model.config import ModelConfig
from homespun.model.families import FAMILIES

MILLION = 1e6


@dataclass(frozen=True)
class Law:
    """Constants of the scaling law; sizes and tokens are in millions.

    floor                 share of the n-gram baseline that no model size and no amount of text removes
    size, size_power      what a finite size adds for a model of a million matrix entries, and its exponent
    data, data_power      what finite data adds after a million tokens, and its exponent
    batch                 tokens per step (in millions) at which a token counts for half
    context               what a context of one token adds; it falls as 1 / context_length
    again                 scale, in epochs, of how the value of repeated tokens decays
    heart, heart_power    what overfitting adds after one epoch, and its exponent
    drop_size             factor on the effective model size with dropout of 0.2
    drop_again            factor on `again` with dropout of 0.2
    drop_heart, drop_power what overfitting adds with dropout of 0.2 at an `overfit_pressure` of 1; its exponent
    static_power          exponent of how much harder a text is whose validation part has names of its own
    cache_power           exponent of how much easier a repetitive text is for a model that attends to earlier text
    cache_tokens          millions of tokens after which a model of a million matrix entries has half learned that
    cache_size            exponent of how much sooner a larger model learns it
    spread                standard deviation of the measured loss, as a share of the expected loss
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
    """The n-gram baselines of a text, in nats per token (dataset/ngrams.py).

    best    loss of the best order n
    static  loss of the best order n whose counts do not include the validation text seen so far
    cached  `best` combined with a cache of recent tokens. Source code repeats its names, so this is lower
            there. A network has recent tokens in its context, but has to learn to attend to them first.
    """

    best: float
    static: float
    cached: float

    def reached(self, trained: float, entries: float, law: Law = LAW) -> float:
        """The baseline loss for a model of `entries` million matrix entries after `trained` million tokens."""
        looks_back = trained / (trained + law.cache_tokens * entries**-law.cache_size)
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
    """Expected loss in nats per token on the validation split after `steps` steps.

    Without n-gram baselines, the loss as a share of the baseline, which still ranks the models for a text.
    """
    entries = config.n_layer * config.matrix_entries() / MILLION
    read = steps * tokens_per_step / MILLION
    times = steps * tokens_per_step / train_tokens
    trained = read / (1 + tokens_per_step / MILLION / law.batch)
    fifths = config.dropout / 0.2
    again = law.again * law.drop_again**fifths
    trained *= again / times * (1 - math.exp(-times / again))
    entries *= law.drop_size**fifths
    share = law.floor + law.size * entries**-law.size_power + law.data * trained**-law.data_power
    share += law.context / config.context_length
    overfit = law.heart * times**law.heart_power
    with_dropout = law.drop_heart * overfit_pressure(config, times, train_tokens) ** law.drop_power
    share *= 1 + max(0.0, 1 - fifths) * overfit + min(1.0, fifths) * with_dropout
    reached = counted.reached(trained, entries, law) if counted else 1.0
    return reached * share * FAMILIES[config.family].loss_factor


def overfit_pressure(config: ModelConfig, times: float, train_tokens: int) -> float:
    """Exposure to repeated text: epochs times matrix entries per training token, in hundreds.

    With dropout, a large model with many epochs overfits, while a small one can go on training: in our runs the
    validation loss turned upwards between 2 and 4. Without dropout, a few epochs are too many at every model size.
    """
    entries = config.n_layer * config.matrix_entries()
    return times * entries / train_tokens / 100
