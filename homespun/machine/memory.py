"""The memory of this process: its peak, and returning freed memory to the system."""

from __future__ import annotations

import sys


def peak_memory() -> int:
    """Peak bytes of this process so far; 0 if the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def release_freed_memory() -> None:
    """Return freed memory to the system: glibc keeps small blocks, and loading a model leaves many."""
    import ctypes
    import platform

    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
