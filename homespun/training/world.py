"""The processes that compute a run, and how they come to the same decisions: so far there is one process.

What a run learns depends on its plan, and not on how many processes compute it. Decisions that depend on a clock,
on memory or on a signal differ between processes, so rank 0 decides and the others adopt its decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


class World(Protocol):
    """rank: the number of this process, from 0. size: the number of processes."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def agree(self, value: T) -> T:
        """The value of rank 0, on every rank. All ranks call it at the same places of the run."""
        ...


@dataclass(frozen=True)
class OneProcess:
    """A world of one process, which agrees with itself."""

    rank: int = 0
    size: int = 1

    def agree(self, value: T) -> T:
        return value
