"""What loss to expect, before anything is trained: from the model's size, the tokens it will read, and the text.

The yardstick of a text is what counting n-grams reaches on it (dataset/ngrams.py). Held against
that, models of one kind come out much the same on plays, code and other texts. The rest is a
law of the kind of Hoffmann et al. 2022 (arXiv 2203.15556): a part that no model gets below, a part
that a larger one has less of, and a part that more tokens take away. A token of a large batch counts
for less (McCandlish et al. 2018, arXiv 1812.06162), one that is read again, too (Muennighoff et al. 2023,
arXiv 2305.16264); and a text that is read too often is learnt by heart, which costs.

The constants are fitted to runs of our own, which stand in benchmarks/losses.jsonl: `make fit` fits them again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from homespun.model import GPTConfig
from homespun.model.size import matrix_entries

MILLION = 1e6


@dataclass(frozen=True)
class Law:
    """Constants of the expectation; sizes and tokens are in millions.

    floor                 share of the yardstick that is left however large the model and however long the text
    size, size_power      what a model of a million matrix entries is worse by, and how fast that falls with size
    data, data_power      the same for a million tokens
    batch                 tokens a step (in millions) at which a token counts for half
    context               what a context of one token would cost; it falls as one over the context
    again                 times a text can be read until reading it again is worth hardly anything
    heart, heart_power    what learning the text by heart costs after one reading, and how fast that grows
    drop_size             what a fifth of dropout leaves of a model's size, …
    drop_again            … times it makes of `again`, …
    drop_heart, drop_power … and what learning by heart costs then, for a model that is `drilled` once
    far_power             how much of a text's saying long things again goes into the yardstick
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
    far_power: float
    spread: float


LAW = Law(
    floor=0.743,
    size=0.0542,
    size_power=0.452,
    data=0.106,
    data_power=0.512,
    batch=0.00523,
    context=0.739,
    again=14,
    heart=0.00037,
    heart_power=1.45,
    drop_size=0.467,
    drop_again=4.31,
    drop_heart=0.000124,
    drop_power=3.55,
    far_power=1.26,
    spread=0.0337,
)

# Of families whose runs are not among those: how much more their loss is, from single runs beside `modern`.
HARDER = {"gpt2": 1.035, "llama": 1.005}


def yardstick(best: float, far: float, law: Law = LAW) -> float:
    """The loss that others are held against, in nats per token.

    best, far: what counting a few tokens together reaches at best, and what a dozen do. Where texts say
    long things again, as source code does, far is lower, and so is what a network reaches.
    """
    return best * (far / best) ** law.far_power


def expected_loss(
    config: GPTConfig,
    steps: int,
    tokens_a_step: int,
    train_tokens: int,
    yardstick: float = 0.0,
    law: Law = LAW,
) -> float:
    """Nats per token on the validation text after so many steps.

    Without a yardstick the result is a share of it, which still puts the models of one text in order.
    """
    entries = config.n_layer * matrix_entries(config) / MILLION
    read = steps * tokens_a_step / MILLION
    times = steps * tokens_a_step / train_tokens
    learnt = read / (1 + tokens_a_step / MILLION / law.batch)
    fifths = config.dropout / 0.2
    again = law.again * law.drop_again**fifths
    learnt *= again / times * (1 - math.exp(-times / again))
    entries *= law.drop_size**fifths
    share = law.floor + law.size * entries**-law.size_power + law.data * learnt**-law.data_power
    share += law.context / config.context_length
    by_heart = law.heart * times**law.heart_power
    drilled_in = law.drop_heart * drilled(config, times, train_tokens) ** law.drop_power
    share *= 1 + max(0.0, 1 - fifths) * by_heart + min(1.0, fifths) * drilled_in
    return (yardstick or 1.0) * share * HARDER.get(config.family, 1.0)


def drilled(config: GPTConfig, times: float, train_tokens: int) -> float:
    """How often a model meets what it could keep: times a text is read, times matrix entries a token, in hundreds.

    With dropout a text is learnt by heart by a large model that reads it often, and a small one can read on: the
    loss of runs of ours turned between 2 and 4. Without it, a few readings are too many for models of all sizes.
    """
    entries = config.n_layer * matrix_entries(config)
    return times * entries / train_tokens / 100
