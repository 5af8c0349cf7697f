"""The forecast of a plan: time, memory and loss. It is shown before training and compared with the outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from homespun.planning.expectation import Expectation, expectation
from homespun.planning.expected_curve import ExpectedPoint, expected_curve
from homespun.planning.facts import Facts, kind_of
from homespun.planning.memory import bytes_of_a_run, bytes_of_a_step
from homespun.planning.plan import Plan
from homespun.planning.planner import SECONDS_ASIDE, SHARE_ASIDE, size_of, step_seconds, time_for_steps
from homespun.planning.search import lost_to_compiling

FORMAT = 1  # of forecast.json


@dataclass(frozen=True)
class Forecast:
    """The expected outcome of a plan.

    seconds       from the start of the command to its end; 0 if the machine was not measured
    step_seconds  of one step, without corrections from earlier runs
    memory        peak bytes of the whole program
    epochs        passes over the training text
    loss          None where there is no basis for an estimate
    curve         the loss on the way there
    ngram_losses  n-gram baselines of the text, unigrams first, and the loss of a uniform guess: nats per token
    """

    seconds: float
    step_seconds: float
    memory: int
    epochs: float
    loss: Expectation | None
    curve: tuple[ExpectedPoint, ...] = ()
    ngram_losses: tuple[float, ...] = ()
    uniform_loss: float | None = None

    def as_object(self) -> dict[str, Any]:
        """The forecast as JSON: forecast.json of a run."""
        return {
            "format": FORMAT,
            "loss": None if self.loss is None else vars(self.loss),
            "curve": [
                {"step": point.step, "tokens": point.tokens, **vars(point.expected)} for point in self.curve
            ],
            "ngram_losses": list(self.ngram_losses),
            "uniform_loss": self.uniform_loss,
            "seconds": self.seconds,
            "memory": self.memory,
            "epochs": self.epochs,
        }


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
        memory = bytes_of_a_step(config, at_once, kind_of(plan.device))
    return Forecast(
        seconds=seconds,
        step_seconds=one,
        memory=facts.memory_used + memory,
        epochs=plan.steps * plan.tokens_per_step / facts.train_tokens,
        loss=expectation(plan, config, facts),
        curve=expected_curve(plan, facts),
        ngram_losses=facts.ngram_losses,
        uniform_loss=facts.uniform_loss,
    )
