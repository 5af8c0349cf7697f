"""How long a test waits for another process: nothing is wrong for being slow."""

from __future__ import annotations

PATIENCE = 3000.0  # seconds; the slowest takes a minute on a computer with no other work
LONG_PATIENCE = 18_000.0  # for what takes minutes
