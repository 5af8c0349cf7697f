"""How well a law predicts runs that it was not fitted to: a text, a source of texts, or a fifth of all runs.

Errors are logarithms of predicted over measured loss: 0.05 is five percent too high.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import combinations

import numpy as np

from benchmarks.laws import Candidate, Run, fit

# Two runs of one text are a choice between two shapes where their compute is alike and their losses are not.
SAME_COMPUTE, NOISE = 1.5, 0.003


def source(run: Run) -> str:
    """Where a text comes from: cuttings of a text, and its tokenizers, are no texts of their own."""
    return "plays" if "hakespeare" in run.text else run.text.partition(" bpe")[0]


def fifths(runs: Sequence[Run]) -> list[int]:
    return [int(place) % 5 for place in np.random.default_rng(0).permutation(len(runs))]


LEFT_OUT: dict[str, Callable[[Sequence[Run]], Sequence[Hashable]]] = {
    "a text": lambda runs: [run.text for run in runs],
    "a source": lambda runs: [source(run) for run in runs],
    "a fifth of the runs": fifths,
}


def errors_left_out(candidate: Candidate, runs: Sequence[Run], groups: Sequence[Hashable]) -> np.ndarray:
    """The error (R,) of each run, by a fit to the runs of all other groups."""
    errors = np.zeros(len(runs))
    for group in dict.fromkeys(groups):
        constants = fit(candidate, [run for run, of in zip(runs, groups, strict=True) if of != group])
        for place, of in enumerate(groups):
            if of == group:
                errors[place] = np.log(candidate.predict(constants, runs[place]) / runs[place].loss)
    return errors


def rms(errors: np.ndarray) -> float:
    """
    >>> round(rms(np.array([0.03, -0.04])), 4)
    0.0354
    """
    return float(np.sqrt((errors**2).mean()))


def nine_in_ten(errors: np.ndarray) -> float:
    """
    >>> nine_in_ten(np.array([0.01] * 9 + [-0.5]))
    0.01
    """
    return float(np.quantile(np.abs(errors), 0.9, method="inverted_cdf"))


def within_texts(errors: np.ndarray, runs: Sequence[Run]) -> np.ndarray:
    """The errors (R,) less their mean over the runs of the same text: what matters for choosing a shape."""
    texts = np.array([run.text for run in runs])
    return np.array([error - errors[texts == text].mean() for error, text in zip(errors, texts, strict=True)])


def choices(runs: Sequence[Run]) -> Iterator[tuple[int, int]]:
    """Places of two runs of one text and about the same compute, with losses that differ by more than noise."""
    for a, b in combinations(range(len(runs)), 2):
        one, other = runs[a], runs[b]
        alike = 1 / SAME_COMPUTE < one.compute / other.compute < SAME_COMPUTE
        if one.text == other.text and alike and abs(np.log(one.loss / other.loss)) > NOISE:
            yield a, b


def chosen_right(errors: np.ndarray, runs: Sequence[Run]) -> tuple[int, int]:
    """In how many of those choices the run that ended better was predicted better, and how many there are."""
    predicted = np.exp(errors) * [run.loss for run in runs]
    right = [(predicted[a] < predicted[b]) == (runs[a].loss < runs[b].loss) for a, b in choices(runs)]
    return sum(right), len(right)


def table(candidates: Sequence[Candidate], runs: Sequence[Run]) -> Iterator[str]:
    """The comparison as lines of Markdown."""
    yield "| law | constants | left out | RMS error | nine in ten | worst | within a text | right choices |"
    yield "|---|---|---|---|---|---|---|---|"
    for candidate in candidates:
        for what, grouped in LEFT_OUT.items():
            errors = errors_left_out(candidate, runs, grouped(runs))
            right, of = chosen_right(errors, runs)
            yield (
                f"| {candidate.name} | {len(candidate.known)} | {what} | {rms(errors):.1%} "
                f"| {nine_in_ten(errors):.1%} | {np.abs(errors).max():.1%} "
                f"| {rms(within_texts(errors, runs)):.1%} | {right} of {of} |"
            )
