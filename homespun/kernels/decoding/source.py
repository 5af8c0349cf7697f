"""What the library of a decoding step is made of."""

from __future__ import annotations

from pathlib import Path

from homespun.machine.builds import Source

STEP = Source("step", Path(__file__).parent, ("step.cpp", "products.h", "../vectors.h", "../parallel.h"))
