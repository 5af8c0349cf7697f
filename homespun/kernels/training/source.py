"""What the library of a training step is made of."""

from __future__ import annotations

from pathlib import Path

from homespun.machine.builds import Source

# What a processor multiplies in bfloat16 with. The library is for these; on another one it is empty.
MADE_FOR = {"amx_bf16", "avx512_bf16"}

TRAINING = Source(
    "training",
    Path(__file__).parent,
    ("training.cpp", "halves.h", "tiles.h", "dots.h", "attention.h", "layers.h", "muon.h", "../muon_step.h"),
)
