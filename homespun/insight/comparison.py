"""Two models on one text: how surprised each is, character by character, even where their tokens differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.errors import UsageError
from homespun.insight.passes import Characters, characters_of
from homespun.insight.probabilities import token_probabilities
from homespun.model.causal_lm import CausalLM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Surprises:
    """The surprise of a model at each of N characters of a text.

    bits    (N) float32: minus the binary logarithm of the probability. That of a token of several characters is
            spread evenly over them. Not a number for the characters of the first token, which nothing precedes
    starts  (N) bool: where a token begins
    tokens  how many tokens the text is
    """

    bits: NDArray[np.float32]
    starts: NDArray[np.bool_]
    tokens: int


@dataclass(frozen=True)
class Comparison:
    """Two models on one text of N characters.

    difference  (N) float32, in bits: of the second minus the first; below zero where the second is less surprised
    counted     how many characters both models have predicted; the means are over these
    means       bits per character of the first and of the second
    """

    text: str
    first: Surprises
    second: Surprises
    difference: NDArray[np.float32]
    counted: int
    means: tuple[float, float]

    def as_object(self) -> dict[str, Any]:
        """The surprises as JSON; null where nothing was predicted."""

        def numbers(values: NDArray[np.float32]) -> list[float | None]:
            return [None if math.isnan(value) else value for value in values.tolist()]

        return {
            "text": self.text,
            "first": numbers(self.first.bits),
            "second": numbers(self.second.bits),
            "difference": numbers(self.difference),
            "first_starts": self.first.starts.tolist(),
            "second_starts": self.second.starts.tolist(),
            "tokens": [self.first.tokens, self.second.tokens],
            "counted": self.counted,
            "means": list(self.means),
        }


def character_surprises(model: CausalLM, tokenizer: Tokenizer, text: str) -> Surprises:
    """How surprised the model is at each character of a text.

    Raises UnknownCharacter, and UsageError where the tokenizer does not give back the text, so that nothing fits.
    """
    if not text:
        raise UsageError("The text is empty.", "Give a text of two characters or more.")
    found = token_probabilities(model, tokenizer, text, alternatives=1)
    characters = characters_of(tokenizer, found.ids)
    if characters.text != text:
        raise UsageError(
            "The tokenizer of the model does not give back the text: "
            f"{len(characters.text):,} characters instead of {len(text):,}.",
            "Take out what it changes, such as special tokens or unusual spaces.",
        )
    return spread(-found.logprobs / math.log(2), characters)


def spread(bits: NDArray[np.float32], characters: Characters) -> Surprises:
    """The bits of T tokens over their characters. Tokens that are parts of one character are added up."""
    count = len(characters.text)
    own, starts = np.full(count, np.nan, np.float32), np.zeros(count, bool)
    waiting, reached = 0.0, 0  # bits of the parts of a character that is not complete
    for value, end in zip(bits.tolist(), characters.ends.tolist(), strict=True):
        waiting += value
        if end > reached:
            own[reached:end] = waiting / (end - reached)
            starts[reached] = True
            waiting, reached = 0.0, end
    return Surprises(own, starts, len(bits))


def compare_models(
    first: CausalLM, first_tokenizer: Tokenizer, second: CausalLM, second_tokenizer: Tokenizer, text: str
) -> Comparison:
    """How surprised two models are by one text, character by character.

    Raises UnknownCharacter for a character that one of them does not have, UsageError for an empty text.
    """
    one = character_surprises(first, first_tokenizer, text)
    other = character_surprises(second, second_tokenizer, text)
    difference = other.bits - one.bits
    both = ~np.isnan(difference)
    if not both.any():
        raise UsageError(
            "The text is too short: no character of it was predicted by both models.",
            "Give a text of several words.",
        )
    return Comparison(
        text=text,
        first=one,
        second=other,
        difference=difference,
        counted=int(both.sum()),
        means=(float(one.bits[both].mean()), float(other.bits[both].mean())),
    )
