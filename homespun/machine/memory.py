"""The memory of this process: the most that it held, and how it is given back to the system."""

from __future__ import annotations

import sys


def peak_memory() -> int:
    """Bytes that this process has held at most so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def release_freed_memory() -> None:
    """Gives the system what was freed: glibc keeps small pieces, and a model that was read leaves many."""
    import ctypes
    import platform

    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
