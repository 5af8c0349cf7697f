"""What a round of a benchmark comes to: a number, or `NotReached` and why.

A side that fails, exits non-zero, ends before its goal, comes to no finite number, or does other work than the
side beside it has no result, and nothing is computed from it. Whoever runs a side raises `Failed`; `attempt`
turns that into the round's `NotReached`; and `spread`, through which every row and every side goes on its way to
the screen, the JSON and the page, has no median where a round was not reached. Where the true value is known to
be at least something, that is kept, and named a bound.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class Failed(RuntimeError):
    """A side did not do its work. `why` is for the page: one line, no path of this machine; `output` is for us."""

    def __init__(self, why: str, output: str = "") -> None:
        super().__init__(f"{why}:\n{output}" if output else why)
        self.why = why


@dataclass(frozen=True)
class NotReached:
    """A round without a number: why, naming the side; and what the true value is at least, where that is known."""

    why: str
    at_least: float | None = None


Value = float | NotReached


def attempt(side: Callable[..., T], *arguments: Any, **named: Any) -> T | NotReached:
    """What the side comes to, or NotReached where it raises Failed; what it printed goes to standard error."""
    try:
        return side(*arguments, **named)
    except Failed as failure:
        print(failure, file=sys.stderr, flush=True)
        return NotReached(failure.why)


def each(found: Sequence[T | NotReached], value: Callable[[T], Value]) -> list[Value]:
    """`value` of every round that has come to its end; the others stay as they are.

    >>> each(["abc", NotReached("it ended with 1")], len)
    [3, NotReached(why='it ended with 1', at_least=None)]
    """
    return [one if isinstance(one, NotReached) else value(one) for one in found]


def reached(found: Sequence[T | NotReached]) -> list[T]:
    """The rounds that have come to their end."""
    return [one for one in found if not isinstance(one, NotReached)]


def finite(value: Value) -> Value:
    """
    >>> finite(2.0), finite(math.nan)
    (2.0, NotReached(why='it came to nan', at_least=None))
    """
    if isinstance(value, NotReached) or math.isfinite(value):
        return value
    return NotReached(f"it came to {value}")


def ratio(over: Value, under: Value) -> Value:
    """over / under. What is at least so much, divided by a number, is at least the quotient; else there is none.

    >>> ratio(6.0, 2.0), ratio(NotReached("over ended early", at_least=6.0), 2.0)
    (3.0, NotReached(why='over ended early', at_least=3.0))
    >>> ratio(6.0, NotReached("under ended early", at_least=2.0))  # at most 3: that would be praise for failing
    NotReached(why='under ended early', at_least=None)
    """
    over, under = finite(over), finite(under)
    if isinstance(under, NotReached):
        return NotReached(joined([one for one in (over, under) if isinstance(one, NotReached)]))
    if under <= 0:
        return NotReached(f"what it is divided by came to {under:g}")
    if isinstance(over, NotReached):
        return NotReached(over.why, None if over.at_least is None else over.at_least / under)
    return over / under


def largest(values: Sequence[Value]) -> Value:
    """The largest of one round's values. One that was not reached may be larger than the others.

    >>> largest([1.0, 3.0]), largest([1.0, NotReached("ours ended with 1")])
    (3.0, NotReached(why='ours ended with 1', at_least=1.0))
    """
    checked = [finite(value) for value in values]
    missing = [value for value in checked if isinstance(value, NotReached)]
    known = reached(checked)
    return NotReached(joined(missing), max(known, default=None)) if missing else max(known)


def joined(missing: Sequence[NotReached]) -> str:
    """Why, of several, each reason once."""
    return "; ".join(dict.fromkeys(one.why for one in missing))


def check_loss(loss: float | None, side: str) -> None:
    """Raises Failed for a loss that is no number: steps that compute NaN are no work."""
    if loss is None or not math.isfinite(loss):
        raise Failed(f"{side}: the loss is no finite number")


def check_tokens(side: str, written: int, asked: int) -> None:
    """Raises Failed where a side has not written what it was asked to: its rate would be that of other work."""
    if written != asked:
        raise Failed(f"{side} wrote {written:,} tokens of {asked:,}")


def check_same(what: str, **sides: Any) -> None:
    """Raises Failed where two sides that are compared did not do the same work.

    >>> check_same("threads", ours=2, plain=2)
    >>> check_same("threads", ours=2, plain=1)
    Traceback (most recent call last):
    benchmarks.rounds.Failed: the sides did not do the same work: threads: ours 2, plain 1
    """
    if len(set(sides.values())) > 1:
        found = ", ".join(f"{side} {value}" for side, value in sides.items())
        raise Failed(f"the sides did not do the same work: {what}: {found}")


def spread(values: Sequence[Value]) -> dict[str, Any]:
    """The rounds as NAME.json has them; numbers with six digits, null for what is not known.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'low': 1.0, 'high': 3.0, 'values': [3.0, 1.0, 2.0]}

    One round that was not reached, and there is no median. at_least: a bound of it, the median of what each round
    is at least.

    >>> found = spread([3.0, NotReached("plain ended early", at_least=5.0), 4.0])
    >>> found["median"], found["values"], found["at_least"], found["not_reached"]
    (None, [3.0, None, 4.0], 4.0, [{'round': 2, 'why': 'plain ended early', 'at_least': 5.0}])
    """
    checked = [finite(value) for value in values]
    bounds = [value.at_least if isinstance(value, NotReached) else value for value in checked]
    known = [six_digits(bound) for bound in bounds if bound is not None]
    missing = [(number, value) for number, value in enumerate(checked, 1) if isinstance(value, NotReached)]
    if not missing:
        return {"median": statistics.median(known), "low": min(known), "high": max(known), "values": known}
    return {
        "median": None,
        "low": None,
        "high": None,
        "values": [None if isinstance(value, NotReached) else six_digits(value) for value in checked],
        "at_least": statistics.median(known) if len(known) == len(checked) else None,
        "not_reached": [
            {"round": number, "why": value.why, "at_least": value.at_least and six_digits(value.at_least)}
            for number, value in missing
        ],
    }


def six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def how_many_missed(found: dict[str, Any]) -> str:
    """Of a spread without a median."""
    return f"not reached in {len(found['not_reached'])} of {len(found['values'])} rounds"


def of_side(found: dict[str, Any], unit: str, digits: int) -> str:
    """A side's spread in words.

    >>> of_side(spread([7.4, 7.6, 7.5]), "s", 4)
    '7.5 s (7.4 to 7.6)'
    >>> of_side(spread([NotReached("plain ended early", at_least=70.0)]), "s", 4)
    'at least 70 s (not reached in 1 of 1 rounds)'
    """
    if found["median"] is not None:
        low, high = (f"{found[end]:,.{digits}g}" for end in ("low", "high"))
        return f"{found['median']:,.{digits}g} {unit} ({low} to {high})"
    if found["at_least"] is None:
        return how_many_missed(found)
    return f"at least {found['at_least']:,.{digits}g} {unit} ({how_many_missed(found)})"


def reasons(result: dict[str, Any]) -> list[str]:
    """Why rounds of a result were not reached, each reason once, with its rounds.

    >>> sides = {"ours": spread([7.5, 7.6]), "plain": spread([NotReached("plain ended early")] * 2)}
    >>> reasons({"sides": sides, "rows": {}})
    ['not reached in round 1, 2: plain ended early']
    """
    rounds: dict[str, list[int]] = {}
    for found in (*result["sides"].values(), *result["rows"].values()):
        for missing in found.get("not_reached", ()):
            numbers = rounds.setdefault(missing["why"], [])
            if missing["round"] not in numbers:
                numbers.append(missing["round"])
    return [
        f"not reached in round {', '.join(map(str, sorted(numbers)))}: {why}" for why, numbers in rounds.items()
    ]
