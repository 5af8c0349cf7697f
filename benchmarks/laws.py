"""Laws of the expected loss that `python -m benchmarks.fit --cross-validate` compares, and how one is fitted.

A law predicts a run's loss from its shape, its tokens and the n-gram baselines of its text. All of them are
fitted in one way: least squares on the logarithm of the loss (Levenberg and Marquardt), with a weak prior that
holds a constant near its first value where no run says anything of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from homespun.model.config import GPTConfig
from homespun.planning.expected_loss import Counted, Law, expected_loss

Constants = dict[str, float]


@dataclass(frozen=True)
class Run:
    """One line of benchmarks/losses.jsonl. parameters, tokens and batch (tokens a step) are in millions."""

    text: str
    config: GPTConfig
    counted: Counted
    parameters: float
    tokens: float
    batch: float
    steps: int
    train_tokens: int
    loss: float

    @property
    def epochs(self) -> float:
        return 1e6 * self.tokens / self.train_tokens

    @property
    def fifths(self) -> float:
        return self.config.dropout / 0.2

    @property
    def compute(self) -> float:
        return self.parameters * self.tokens


@dataclass(frozen=True)
class Candidate:
    """A law that can be fitted.

    known    each constant's first value, and the factor by which it may well be larger or smaller
    predict  constants and a run -> loss, nats per token
    """

    name: str
    known: dict[str, tuple[float, float]]
    predict: Callable[[Constants, Run], float]


PRIOR = 0.02  # weight of one such factor beside a run that is off by one percent


def residuals(candidate: Candidate, logs: np.ndarray, runs: Sequence[Run]) -> np.ndarray:
    """(R + K): the logarithm of predicted over measured loss for R runs, then the priors on K constants."""
    constants = named(candidate, logs)
    errors = [math.log(candidate.predict(constants, run) / run.loss) for run in runs]
    priors = [
        PRIOR * (log - math.log(first)) / math.log(factor)
        for log, (first, factor) in zip(logs, candidate.known.values(), strict=True)
    ]
    return np.array(errors + priors)


def named(candidate: Candidate, logs: np.ndarray) -> Constants:
    return dict(zip(candidate.known, map(float, np.exp(logs)), strict=True))


def fit(candidate: Candidate, runs: Sequence[Run], steps: int = 200) -> Constants:
    """The constants with the least squared residuals, by Levenberg and Marquardt's method."""
    logs = np.log([first for first, _ in candidate.known.values()])
    damping, found = 1e-2, residuals(candidate, logs, runs)
    for _ in range(steps):
        slopes = [(residuals(candidate, logs + 1e-4 * unit, runs) - found) / 1e-4 for unit in np.eye(len(logs))]
        jacobian = np.stack(slopes, 1)
        curvature = jacobian.T @ jacobian
        damped = curvature + damping * np.diag(np.diag(curvature))
        # At most a factor of e a step: from further away an exponent overflows.
        move = np.clip(np.linalg.solve(damped, -jacobian.T @ found), -1, 1)
        tried = residuals(candidate, logs + move, runs)
        if tried @ tried < found @ found:
            gained = found @ found - tried @ tried
            logs, found, damping = logs + move, tried, damping / 3
            if gained < 1e-10:
                break
        else:
            damping *= 4
    return named(candidate, logs)


def in_use(constants: Constants, run: Run) -> float:
    law = Law(**constants, spread=0.0)
    return expected_loss(run.config, run.steps, round(1e6 * run.batch), run.train_tokens, run.counted, law)


def eight(constants: Constants, run: Run) -> float:
    """A gap that closes with parameters and tokens (Kaplan et al. 2020), a share of the n-gram baselines.

    floor        share of the baseline that is left when the gap is closed
    cache_power  how fast the baseline falls with what a cache takes off it, when the gap is closed
    size, data   parameters, and tokens, that would each leave the whole gap; power: how fast it closes
    batch        tokens a step at which a token counts for half
    epochs       after which overfitting costs one percent; the cost grows with their square
    dropout      factor by which dropout of 0.2 makes a model smaller, and those epochs more
    """
    floor, cache_power, size, data, power, batch, epochs, dropout = constants.values()
    counted, delay = run.counted, dropout**run.fifths
    tokens = run.tokens / (1 + run.batch / batch)
    gap = (size / (run.parameters / delay) + data / tokens) ** power
    repeats = (counted.cached / counted.best) ** (cache_power * max(0.0, 1 - gap))
    share = floor + (1 - floor) * gap + 1 / run.config.context_length
    overfit = 1 + 0.01 * (run.epochs / epochs / delay) ** 2
    return math.sqrt(counted.best * counted.static) * repeats * share * overfit


def chinchilla(constants: Constants, run: Run) -> float:
    """Hoffmann et al. 2022 as a share of the n-gram baseline: nothing of batch, epochs, dropout or context."""
    floor, size, size_power, data, data_power = constants.values()
    return run.counted.best * (floor + size * run.parameters**-size_power + data * run.tokens**-data_power)


def chinchilla_cached(constants: Constants, run: Run) -> float:
    """Chinchilla's law with the batch, and a floor that is lower where a cache helps the n-gram baseline."""
    floor, size, size_power, data, data_power, batch, cache = constants.values()
    tokens = run.tokens / (1 + run.batch / batch)
    floor *= (run.counted.cached / run.counted.best) ** cache
    return run.counted.best * (floor + size * run.parameters**-size_power + data * tokens**-data_power)


CHINCHILLA = {
    "floor": (0.7, 1.5),
    "size": (0.06, 3.0),
    "size_power": (0.35, 1.5),  # Hoffmann et al. 2022: 0.34
    "data": (0.15, 3.0),
    "data_power": (0.5, 1.5),  # they: 0.28, for runs ten thousand times as long
}
IN_USE = Candidate(
    "in use",
    {
        "floor": (0.70, 1.3),
        "size": (0.06, 2.0),
        "size_power": (0.35, 1.4),
        "data": (0.20, 1.8),
        "data_power": (0.60, 1.5),
        "batch": (0.008, 2.0),
        "context": (0.75, 1.5),
        "again": (5.0, 1.5),  # Muennighoff et al. 2023 found 15 for large models and regularised ones
        "heart": (0.0015, 2.5),
        "heart_power": (2.0, 1.3),
        "drop_size": (0.5, 2.0),
        "drop_again": (3.0, 2.0),
        "drop_heart": (0.0002, 3.0),
        "drop_power": (4.0, 1.3),
        "static_power": (0.3, 2.0),
        "cache_power": (3.0, 2.0),
        "cache_tokens": (2.0, 2.0),
        "cache_size": (0.3, 2.0),
    },
    in_use,
)
EIGHT = Candidate(
    "eight constants",
    {
        "floor": (0.7, 1.3),
        "cache_power": (6.0, 2.0),
        "size": (0.04, 3.0),
        "data": (0.4, 3.0),
        "power": (0.3, 1.5),
        "batch": (0.01, 2.0),
        "epochs": (6.0, 2.0),
        "dropout": (4.0, 2.0),
    },
    eight,
)
CANDIDATES = (
    IN_USE,
    EIGHT,
    Candidate("Chinchilla", CHINCHILLA, chinchilla),
    Candidate(
        "Chinchilla, batch, cache", CHINCHILLA | {"batch": (0.008, 2.0), "cache": (3.0, 2.0)}, chinchilla_cached
    ),
)
