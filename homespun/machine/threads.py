"""Threads that wait for each other go to sleep soon, and leave the processor to threads with work.

A training step is a sequence of some hundred parallel regions. GNU's OpenMP, which PyTorch includes on Linux, lets
a thread that has finished its share of a region spin for milliseconds before it sleeps. That is right as long as
every thread has a core of its own. Next to another program that computes, two threads come to share a core, and
the one that spins blocks the other, for which both wait. On two cores, with 3 layers of n_embd 128, a step took
58 ms, and next to one busy program 5.9 s; with 3,000 iterations 57 ms and 0.22 s, with 10,000 57 ms and 0.48 s.
With 300 iterations a thread sleeps between any two regions: 107 ms, whatever else runs.
"""

from __future__ import annotations

import os

# An iteration takes 3 ns (Intel before Skylake) to 50 ns: together at least 15 microseconds, which is longer than
# the gap between two regions.
SPINS = 5000


def sleep_soon() -> None:
    """Set the spin count; call it before PyTorch is loaded. Settings of the user are not changed."""
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
