"""The forecast of a plan: time, memory and loss. It is shown before training and compared with the outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass

from homespun.model.config import ModelConfig
from homespun.model.families import MODELS
from homespun.planning.expected_loss import LAW, expected_loss
from homespun.planning.facts import Facts
from homespun.planning.first_steps import SPREAD, loss_after_few_steps, share_of_the_law, steps_as_with_muon
from homespun.planning.memory import bytes_of_a_run
from homespun.planning.plan import Plan
from homespun.planning.planner import SECONDS_ASIDE, SHARE_ASIDE, size_of, step_seconds, time_for_steps
from homespun.planning.search import lost_to_compiling

NINE_IN_TEN = 1.9  # standard deviations to both sides: 2 of the law's 59 runs are further off


@dataclass(frozen=True)
class Expectation:
    """An expected loss in nats per token; nine runs in ten end between low and high."""

    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """The expected outcome of a plan.

    seconds       from the start of the command to its end; 0 if the machine was not measured
    step_seconds  of one step, without corrections from earlier runs
    memory        peak bytes of the whole program
    epochs        passes over the training text
    loss          None where there is no basis for an estimate
    """

    seconds: float
    step_seconds: float
    memory: int
    epochs: float
    loss: Expectation | None


def forecast_of(plan: Plan, facts: Facts) -> Forecast:
    """Return the forecast for that plan on these facts. A pure function."""
    config = plan.config(facts.vocab_size)
    one = step_seconds(plan, facts)
    training = plan.steps * one
    if plan.compile and plan.minutes:
        training += lost_to_compiling(size_of(plan), facts, time_for_steps(plan.minutes))
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
    """The expected loss with its range; None without n-gram baselines, and for the lecture's models."""
    if not facts.ngram_losses:
        return None
    if not config.n_layer:  # a bigram model converges to the loss of bigram counts
        pairs = facts.ngram_losses[1]
        return Expectation(pairs, 0.97 * pairs, 1.1 * pairs)
    if not MODELS[config.family].planned:
        return None
    loss = expected_loss(config, plan.steps, plan.tokens_per_step, facts.train_tokens, facts.counted)
    loss = min(loss, math.log(facts.vocab_size))  # a uniform guess
    steps = steps_as_with_muon(plan.steps, plan.optimizer)
    share = share_of_the_law(steps, plan.tokens_per_step, config.number_of_parameters())
    loss = loss**share * loss_after_few_steps(steps, facts.vocab_size, facts.ngram_losses) ** (1 - share)
    off = NINE_IN_TEN * (share * LAW.spread + (1 - share) * SPREAD)
    return Expectation(loss, loss * (1 - off), loss * (1 + off))
