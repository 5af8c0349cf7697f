"""What loss to expect of a plan, with its range: by the law, or by what holds for the first steps."""

from __future__ import annotations

from dataclasses import dataclass

from homespun.model.config import ModelConfig
from homespun.model.families import MODELS
from homespun.planning.expected_loss import LAW, expected_loss
from homespun.planning.facts import Facts
from homespun.planning.first_steps import SPREAD, loss_after_few_steps, share_of_the_law, steps_as_with_muon
from homespun.planning.plan import Plan

NINE_IN_TEN = 1.9  # standard deviations to both sides: 2 of the law's 59 runs are further off


@dataclass(frozen=True)
class Expectation:
    """An expected loss in nats per token; nine runs in ten end between low and high."""

    loss: float
    low: float
    high: float


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
    loss = min(loss, facts.uniform_loss)
    steps = steps_as_with_muon(plan.steps, plan.optimizer)
    share = share_of_the_law(steps, plan.tokens_per_step, config.number_of_parameters())
    loss = loss**share * loss_after_few_steps(steps, facts.vocab_size, facts.ngram_losses) ** (1 - share)
    off = NINE_IN_TEN * (share * LAW.spread + (1 - share) * SPREAD)
    return Expectation(loss, loss * (1 - off), loss * (1 + off))
