"""How the next token is chosen: the settings, what they mean, and what they may be. Needs no torch."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from homespun.errors import UsageError

LARGEST_SEED = 2**63 - 1
KINDS = ("float32", "bfloat16", "int8")  # of weights: how many bits a step keeps of each


def setting(default: Any, kind: type, letter: str, help: str) -> Any:
    """A field with its type, the letter that stands for its value, and its help: the command line asks here."""
    return field(default=default, metadata={"type": kind, "letter": letter, "help": help})


@dataclass(frozen=True)
class Sampling:
    """How one token is chosen among all that could come next. Raises UsageError for values that make no sense.

    The defaults suit a small model. Every token that cannot come next still gets a little
    probability from it, and at temperature 1 these add up: a few times a line one of them is
    drawn, and the text never recovers. Far below 0.8 it repeats itself. The others do
    the same in other ways, so they are off until asked for.
    """

    temperature: float = setting(
        0.8,
        float,
        "T",
        "Below 1 likely tokens become likelier, above 1 unlikely ones do; 0 always takes the likeliest.",
    )
    top_k: int | None = setting(None, int, "K", "Choose among the K likeliest tokens only.")
    top_p: float | None = setting(
        None, float, "P", "Choose among the likeliest tokens that together have this probability (0 to 1)."
    )
    min_p: float | None = setting(
        None,
        float,
        "P",
        "Leave out tokens less likely than this share of the likeliest one's probability (0 to 1).",
    )
    repetition_penalty: float | None = setting(
        None,
        float,
        "R",
        "Above 1, tokens that are in the text already become less likely: 1.1 is a little, 1.5 is much.",
    )
    frequency_penalty: float | None = setting(
        None,
        float,
        "F",
        "Subtract this from a token's logit for every time that it was generated (-2 to 2).",
    )
    presence_penalty: float | None = setting(
        None, float, "F", "Subtract this from the logit of every token that was generated already (-2 to 2)."
    )
    seed: int | None = setting(
        None, int, "N", "The same seed gives the same text on the same machine; without one, every text is new."
    )

    def __post_init__(self) -> None:
        number("temperature", self.temperature, "0 or more; 0 always takes the likeliest token", at_least=0.0)
        if self.top_k is not None:
            whole("top_k", self.top_k, "a whole number of at least 1", at_least=1)
        if self.top_p is not None:
            number("top_p", self.top_p, "more than 0 and at most 1", above=0.0, at_most=1.0)
        if self.min_p is not None:
            number("min_p", self.min_p, "from 0 to 1", at_least=0.0, at_most=1.0)
        if self.repetition_penalty is not None:
            number("repetition_penalty", self.repetition_penalty, "more than 0; 1 changes nothing", above=0.0)
        for name in ("frequency_penalty", "presence_penalty"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), "from -2 to 2; 0 changes nothing", at_least=-2.0, at_most=2.0)
        if self.seed is not None:
            whole("seed", self.seed, f"a whole number from 0 to {LARGEST_SEED}", at_least=0, at_most=LARGEST_SEED)

    def seeded(self) -> Sampling:
        """The same with a seed: one that nobody chose, where it was left open, so that it can be reported."""
        return self if self.seed is not None else replace(self, seed=random_seed())

    def sample(self, number: int) -> Sampling:
        """The settings of one of several samples, counted from 0. Each has a seed of its own: the next one.

        >>> [Sampling(seed=7).sample(number).seed for number in range(3)]
        [7, 8, 9]
        """
        assert self.seed is not None, "which seed is the first has to be known: seeded()"
        return replace(self, seed=(self.seed + number) % (LARGEST_SEED + 1))


def random_seed() -> int:
    """A seed that nobody chose, short enough to be typed again."""
    return secrets.randbelow(2**32)


def number(
    name: str,
    value: Any,
    meaning: str,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
) -> None:
    """Nothing where value is a finite number within the bounds, else UsageError."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not (at_least <= value <= at_most and value > above):
        raise UsageError(f"{name} is {value!r}.", f"{name} is {meaning}.")


def whole(name: str, value: Any, meaning: str, *, at_least: int, at_most: float = math.inf) -> None:
    """Nothing where value is a whole number within the bounds, else UsageError."""
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or not at_least <= value <= at_most:
        raise UsageError(f"{name} is {value!r}.", f"{name} is {meaning}.")
