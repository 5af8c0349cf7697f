"""What loss to expect of a run of a few steps, where the law of expected_loss.py does not apply yet.

The law says what a model learns from tokens, and is fitted to runs of at least 125 steps and 256,000 tokens. In
its first steps a model learns something else: how often each token occurs, and then which token follows which. The
loss falls from ln V to the unigram baseline within about three steps, and from there with the logarithm of the
number of steps towards the bigram baseline and below it. With a large vocabulary this takes longer.

The constants are fitted to 19 runs of `homespun train TEXT --size nano --steps N`, N from 1 to 100, on tiny
Shakespeare (char and bpe:1000) and Python source (char). The standard deviation of the error is 2%, the largest
error 5%. The runs are in tests/planning/test_first_steps.py. All have one shape, 768 tokens per step, and Muon.
It is an assumption that other shapes, larger batches and AdamW learn as much per step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

UNIGRAM_RATE, UNIGRAM_POWER = 0.459, 1.78  # how soon the loss reaches the unigram baseline
BIGRAM_SLOPE = 0.324  # share of the way from there to the bigram baseline that e times as many steps gain
BIGRAM_STEPS, BIGRAM_POWER = 0.148, 0.728  # steps after which that begins, from the unigram baseline's perplexity
SPREAD = 0.08  # standard deviation as a share of the loss: 0.02 in those runs, and room for other shapes

# Up to the first value only this module counts, from the second one only the law; in between, both.
# A run of 81 steps of 4,096 tokens on tiny Shakespeare, rescheduled on a busy machine, ended at 2.12: the formula
# below gives 2.23, the law 1.87, both together 1.95.
STEPS_OF_THE_LAW = 20, 125
TOKENS_OF_THE_LAW = 64_000, 256_000


def loss_after_few_steps(steps: int, vocab_size: int, baselines: Sequence[float]) -> float:
    """Nats per token on the validation text. baselines: n-gram losses in nats per token, unigrams first.

    >>> round(loss_after_few_steps(0, 65, [3.33, 2.46]), 2), round(loss_after_few_steps(10, 65, [3.33, 2.46]), 2)
    (4.17, 2.78)
    """
    untrained = math.log(vocab_size)
    unigram = min(baselines[0], untrained)
    bigram = min(*baselines[:2], unigram)
    begun = 1 - math.exp(-UNIGRAM_RATE * steps**UNIGRAM_POWER)
    further = BIGRAM_SLOPE * math.log(1 + steps / (BIGRAM_STEPS * math.exp(unigram) ** BIGRAM_POWER))
    return untrained - begun * ((untrained - unigram) + further * (unigram - bigram))


def share_of_the_law(steps: int, tokens_per_step: int) -> float:
    """Weight of the law's loss in the forecast: 0 where a run is too short for it, 1 where it alone counts.

    >>> share_of_the_law(10, 16384), share_of_the_law(500, 64), share_of_the_law(125, 2048)
    (0.0, 0.0, 1.0)
    """
    return min(
        between(steps, *STEPS_OF_THE_LAW),
        between(steps * tokens_per_step, *TOKENS_OF_THE_LAW),
    )


def between(value: float, low: float, high: float) -> float:
    """Where value lies between low and high on a logarithmic scale: 0 at and below low, 1 at and above high."""
    return min(1.0, max(0.0, math.log(value / low) / math.log(high / low)))
