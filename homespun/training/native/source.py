"""What the library of a training step is made of."""

from __future__ import annotations

from pathlib import Path

from homespun.native import Source

TRAINING = Source(
    "training", Path(__file__).parent, ("training.cpp", "tiles.h", "attention.h", "layers.h", "muon.h")
)
