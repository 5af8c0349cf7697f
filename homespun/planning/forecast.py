"""What a plan will come to: time, memory, loss. Said before anything starts, and held against what came."""

from __future__ import annotations

import math
from dataclasses import dataclass

from homespun.model.config import ModelConfig
from homespun.model.families import MODELS
from homespun.planning.expected_loss import LAW, expected_loss
from homespun.planning.facts import Facts
from homespun.planning.first_steps import SPREAD, loss_after_few_steps, share_of_the_law
from homespun.planning.memory import bytes_of_a_run
from homespun.planning.plan import Plan
from homespun.planning.planner import SECONDS_ASIDE, SHARE_ASIDE, seconds_to_train, size_of, step_seconds
from homespun.planning.search import lost_to_compiling

NINE_IN_TEN = 1.9  # standard deviations to both sides: of the law's 59 runs two are further off


@dataclass(frozen=True)
class Expectation:
    """A loss in nats per token; nine runs in ten end between low and high."""

    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """step_seconds is without corrections by what earlier runs took; the others are what to expect.

    seconds     from the command to its end; 0 where nobody has measured the machine
    memory      bytes of the whole program at its largest
    epochs      how often the text is read
    loss        None where there is nothing to go by
    """

    seconds: float
    step_seconds: float
    memory: int
    epochs: float
    loss: Expectation | None


def forecast_of(plan: Plan, facts: Facts) -> Forecast:
    """What to expect of that plan on these facts; as pure as the plan is."""
    config = plan.config(facts.vocab_size)
    one = step_seconds(plan, facts)
    training = plan.steps * one
    if plan.compile and plan.minutes:
        training += lost_to_compiling(size_of(plan), facts, seconds_to_train(plan.minutes))
    seconds = min(plan.minutes * 60 or math.inf, training / (1 - SHARE_ASIDE) + SECONDS_ASIDE) if one else 0.0
    at_once = plan.batch_size // plan.micro_batches
    if plan.device == "cpu":
        memory = bytes_of_a_run(config, at_once, compiled=plan.compile, dtype=plan.dtype)
    else:
        memory = config.memory(at_once)
    return Forecast(
        seconds=seconds,
        step_seconds=one,
        memory=facts.memory_used + memory,
        epochs=plan.steps * plan.tokens_per_step / facts.train_tokens,
        loss=expectation(plan, config, facts),
    )


def expectation(plan: Plan, config: ModelConfig, facts: Facts) -> Expectation | None:
    """What loss to expect, with its range; None where nobody has counted, and for the lecture's model."""
    if not facts.ngram_losses:
        return None
    if not config.n_layer:  # a bigram, which learns by steps what counting pairs tells at once
        pairs = facts.ngram_losses[1]
        return Expectation(pairs, 0.97 * pairs, 1.1 * pairs)
    if not MODELS[config.family].planned:
        return None
    loss = expected_loss(config, plan.steps, plan.tokens_per_step, facts.train_tokens, facts.counted)
    loss = min(loss, math.log(facts.vocab_size))  # knowing nothing costs no more
    share = share_of_the_law(plan.steps, plan.tokens_per_step)
    loss = loss**share * loss_after_few_steps(plan.steps, facts.vocab_size, facts.ngram_losses) ** (1 - share)
    off = NINE_IN_TEN * (share * LAW.spread + (1 - share) * SPREAD)
    return Expectation(loss, loss * (1 - off), loss * (1 + off))
