"""Ending a text before a string that must not appear, while it streams."""

from __future__ import annotations

from collections.abc import Iterable

from homespun.errors import UsageError


class StopStrings:
    """Lets text through until one of the stop strings is complete, and nothing of that one.

    What could be the beginning of a stop string is held back until it is known, and no more
    than that. How the text is cut into pieces makes no difference.

    >>> stop = StopStrings(["END"])
    >>> stop.push("one E"), stop.push("N"), stop.push("OUGH EN"), stop.push("D, more")
    ('one ', '', 'ENOUGH ', '')
    >>> stop.reached
    True
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self.strings = [strings] if isinstance(strings, str) else list(strings)
        if "" in self.strings:
            raise UsageError("A stop string is empty.", "Give the text that ends the generation, or leave it out.")
        self.held = ""
        self.reached = False

    def push(self, piece: str) -> str:
        """What may be shown now."""
        if self.reached:
            return ""
        text = self.held + piece
        found = [(at + len(stop), at) for stop in self.strings if (at := text.find(stop)) >= 0]
        if found:
            self.held, self.reached = "", True
            return text[: min(found)[1]]  # the one that was complete first
        hold = max((beginning_at_the_end(text, stop) for stop in self.strings), default=0)
        self.held = text[len(text) - hold :]
        return text[: len(text) - hold]

    def flush(self) -> str:
        """What is still held back, at the end of the text."""
        held, self.held = self.held, ""
        return held


def beginning_at_the_end(text: str, stop: str) -> int:
    """How many characters at the end of text could be the beginning of stop.

    >>> beginning_at_the_end("so be it, E", "END"), beginning_at_the_end("so be it", "END")
    (1, 0)
    """
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
