"""Opening a library that was compiled here."""

from __future__ import annotations

import ctypes
from pathlib import Path


def opened(path: Path) -> ctypes.CDLL | None:
    """The library; None where it cannot be used here, and the model itself is as right."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None  # made for another system, or damaged
    return library if library.prepare() else None
