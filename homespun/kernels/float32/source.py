"""What the library of a training step in float32 is made of."""

from __future__ import annotations

from pathlib import Path

from homespun.machine.builds import Source

FLOAT32 = Source(
    "float32",
    Path(__file__).parent,
    (
        "step.cpp",
        "panels.h",
        "products.h",
        "parallel.h",
        "layers.h",
        "weights.h",
        "attention.h",
        "block.h",
        "head.h",
        "muon.h",
        "../muon_step.h",
        "../parallel.h",
        "../vectors.h",
    ),
)
