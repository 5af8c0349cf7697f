"""Whether a text goes round in circles, as the likeliest continuation of a text often does."""

from __future__ import annotations

from collections import Counter

PHRASE, REPEATED = 20, 5  # characters of a phrase, and how often it comes in a text that goes round in circles
LOOPS = (
    "it repeats itself, as the likeliest continuation of a text often does. A temperature above 0 "
    "(--temperature 0.8) or --repetition-penalty 1.1 leads out of it."
)


def goes_round(text: str) -> bool:
    """Whether a phrase comes again and again.

    >>> goes_round("and the sea " * 7), goes_round("")
    (True, False)
    """
    phrases = Counter(text[at : at + PHRASE] for at in range(len(text) - PHRASE + 1))
    return bool(phrases) and max(phrases.values()) >= REPEATED
