"""Joins the other processes of a run, if this process was started as one of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homespun.distributed.place import place_here
from homespun.training.world import OneProcess, World


@contextmanager
def joined(note: Callable[[str], None]) -> Iterator[World]:
    """The world of this process: of all that were started with it, or of itself alone.

    note: is called with what the user should know. Raises TrainingError where the processes do not find together.
    """
    place = place_here()
    if place is None or place.size == 1:
        yield OneProcess()
        return
    from homespun.distributed.processes import Processes  # which imports what a single process does not need

    world = Processes(place, note if place.rank == 0 else lambda line: None)
    yield world
    world.leave()
