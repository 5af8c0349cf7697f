"""What loss to expect of a run of a few steps, where the law of expected_loss.py does not apply yet.

The law says what a model learns from tokens, and is fitted to runs of at least 125 steps and 256,000 tokens. In
its first steps a model learns something else: how often each token occurs, and then which token follows which. The
loss falls from ln V to the unigram baseline within about three steps, and from there with the logarithm of the
number of steps towards the bigram baseline and below it. With a large vocabulary this takes longer.

The constants are fitted to 19 runs of `homespun train TEXT --size nano --steps N`, N from 1 to 100, on tiny
Shakespeare (char and bpe:1000) and Python source (char). The standard deviation of the error is 2%, the largest
error 5%. Other runs of that command, of sizes mini and small and with AdamW, say how far this holds. With Muon a
model of 4.7 million parameters learns as much per step (error up to 9%). One of 10.7 million does after twenty
steps, but not in its first five (26% above). AdamW needs more steps. All runs but that one are in
tests/planning/test_first_steps.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

UNIGRAM_RATE, UNIGRAM_POWER = 0.459, 1.78  # how soon the loss reaches the unigram baseline
BIGRAM_SLOPE = 0.324  # share of the way from there to the bigram baseline that e times as many steps gain
BIGRAM_STEPS, BIGRAM_POWER = 0.148, 0.728  # steps after which that begins, from the unigram baseline's perplexity
SPREAD = 0.1  # standard deviation as a share of the loss: 0.02 in the runs of the fit, 0.09 in the others

# AdamW changes a weight by at most the learning rate per step, so that learning begins later than with Muon: five
# steps come as far as one or two of Muon, fifty as far as thirty-five.
ADAMW_FIRST, ADAMW_LATER = 4, 30

# Up to the first value only this module counts, from the second one only the law; in between, both. The second
# number of steps is that of a model of so many parameters; it grows with their number: 4.7 million parameters come
# to 2.13 in 80 steps and to 1.94 in 120, where the law expects 1.80 and 1.69.
STEPS_OF_THE_LAW = 60, 125
PARAMETERS_OF_THE_LAW, PARAMETERS_POWER = 400_000, 0.35
TOKENS_OF_THE_LAW = 64_000, 256_000


def loss_after_few_steps(steps: float, vocab_size: int, baselines: Sequence[float]) -> float:
    """Nats per token on the validation text. baselines: n-gram losses in nats per token, unigrams first.

    steps: with Muon; `steps_as_with_muon` for another optimizer.

    >>> round(loss_after_few_steps(0, 65, [3.33, 2.46]), 2), round(loss_after_few_steps(10, 65, [3.33, 2.46]), 2)
    (4.17, 2.78)
    """
    untrained = math.log(vocab_size)
    unigram = min(baselines[0], untrained)
    bigram = min(*baselines[:2], unigram)
    begun = 1 - math.exp(-UNIGRAM_RATE * steps**UNIGRAM_POWER)
    further = BIGRAM_SLOPE * math.log(1 + steps / (BIGRAM_STEPS * math.exp(unigram) ** BIGRAM_POWER))
    loss = untrained - begun * ((untrained - unigram) + further * (unigram - bigram))
    # The logarithm falls without end, below zero on a text whose bigrams say nearly all. In so few steps no model
    # is better than the best n-gram baseline.
    return max(loss, min(*baselines, unigram))


def steps_as_with_muon(steps: int, optimizer: str) -> float:
    """Steps with Muon that come as far as so many steps with that optimizer.

    >>> steps_as_with_muon(50, "muon"), round(steps_as_with_muon(5, "adamw"), 1), steps_as_with_muon(50, "adamw")
    (50, 1.3, 33.75)
    """
    if optimizer == "muon":
        return steps
    return steps * (steps + ADAMW_FIRST) / (steps + ADAMW_LATER)


def share_of_the_law(steps: float, tokens_per_step: int, parameters: int) -> float:
    """Weight of the law's loss in the forecast: 0 where a run is too short for it, 1 where it alone counts.

    >>> share_of_the_law(10, 16384, 10**6), share_of_the_law(500, 64, 10**6), share_of_the_law(125, 2048, 10**5)
    (0.0, 0.0, 1.0)
    """
    fewest, enough = STEPS_OF_THE_LAW
    enough *= max(1.0, parameters / PARAMETERS_OF_THE_LAW) ** PARAMETERS_POWER
    return min(
        between(steps, fewest, enough),
        between(steps * tokens_per_step, *TOKENS_OF_THE_LAW),
    )


def between(value: float, low: float, high: float) -> float:
    """Where value lies between low and high on a logarithmic scale: 0 at and below low, 1 at and above high."""
    return min(1.0, max(0.0, math.log(value / low) / math.log(high / low)))
