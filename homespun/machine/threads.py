"""Threads that wait for each other sleep soon, and leave the processor to who has work.

A training step is some hundred pieces of work for all threads, one after the other, and GNU's OpenMP, which
PyTorch brings along on Linux, lets a thread that is done with its piece spin for milliseconds before it sleeps. As
long as every thread has a core of its own that is right. Beside another program that computes, two threads come
to share one core, and the one that spins keeps the other from what both wait for. On two cores, 3 layers 128
wide, a step took 58 ms, and beside one busy program 5.9 s; with 3,000 turns 57 ms and 0.22 s, with 10,000 57 ms
and 0.48 s. With 300 turns a thread sleeps between any two pieces: 107 ms, whatever else runs.
"""

from __future__ import annotations

import os

# A turn takes 3 ns (Intel before Skylake) to 50: together 15 microseconds or more, which is longer than from one
# piece to the next.
SPINS = 5000


def sleep_soon() -> None:
    """To be called before PyTorch is loaded. What the user has set is left as it is."""
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
