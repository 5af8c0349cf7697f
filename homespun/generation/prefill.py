"""How many tokens of new prompts a step computes beside the texts that are being written.

A step takes longer with every token of it. A long prompt that is computed at once holds up everyone who reads; one
that is computed in small pieces takes longer itself. So a piece is as large as makes a step take twice the usual
time, or 10 ms, which nobody notices. What a text says does not depend on how its prompt was cut.
"""

from __future__ import annotations

LONGER = 2.0  # times the time of a step without prompts
UNNOTICED = 0.01  # seconds
UNKNOWN = 16  # tokens, before anything was measured
NEW = 0.2  # the weight of the newest measurement


class PrefillBudget:
    """Learns from the steps that were taken how long the next ones will take.

    >>> budget = PrefillBudget()
    >>> budget.tokens(writing=4)
    16
    >>> budget.record(writing=4, prompts=0, seconds=0.02)
    >>> budget.record(writing=4, prompts=16, seconds=0.04)
    >>> budget.tokens(writing=4)
    16
    >>> budget.record(writing=4, prompts=16, seconds=0.10)
    >>> budget.tokens(writing=4) < 16
    True
    """

    def __init__(self) -> None:
        self.usual: float | None = None  # seconds of a step without prompts
        self.each: float | None = None  # seconds that each token of a prompt adds

    def tokens(self, writing: int) -> int | None:
        """The most, at least 1; None where nobody is held up. writing: texts that get a token by the step."""
        if not writing:
            return None
        if self.usual is None or not self.each:
            return UNKNOWN
        return max(int((max(LONGER * self.usual, UNNOTICED) - self.usual) / self.each), 1)

    def record(self, writing: int, prompts: int, seconds: float) -> None:
        """A step with so many tokens of texts and of prompts took that long."""
        if not writing:
            return
        if not prompts:
            self.usual = mixed(self.usual, seconds)
        elif self.usual is not None:
            self.each = mixed(self.each, max(seconds - self.usual, 0.0) / prompts)


def mixed(before: float | None, new: float) -> float:
    return new if before is None else (1 - NEW) * before + NEW * new
