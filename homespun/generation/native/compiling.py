"""The library that `step.cpp` becomes: compiled for this processor, kept in the user's cache.

Compiling takes a few seconds, longer than a short text. So an engine takes the library where it is
there already; `compile_beside` has a process of its own make it, with the least priority, for the next
time, and `library(wait=True)` is for those who would rather wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from homespun.device import compiler
from homespun.errors import WriteFailed
from homespun.fetch import cache_folder

SOURCES = ("step.cpp", "products.h")
ALWAYS = ("-std=c++17", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-shared", "-fPIC")
# The first that the compiler understands. Without OpenMP a step runs on one core.
ATTEMPTS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native", "-fopenmp"), ("-mcpu=native",), ())
LONGEST = 300  # seconds


def library(*, wait: bool = False) -> Path | None:
    """Where the compiled library is; None where it is not there yet, or cannot be made here.

    wait: compile it now, if it has to be.
    """
    found = compiler()
    path = None if found is None else place(found)
    if found is None or path is None:
        return None
    if wait and is_to_be_made(path):
        make(found, path)
    return path if path.exists() else None


def compile_beside() -> None:
    """Has the library made for the next time, unless it is there, or somebody is at it, or it failed before."""
    found = compiler()
    path = None if found is None else place(found)
    if path is not None and is_to_be_made(path):
        leave_to_another(path)


def is_to_be_made(path: Path) -> bool:
    return not path.exists() and not path.with_suffix(".failed").exists()


def place(found: str) -> Path | None:
    """A name for what this source gives with this compiler on this processor; None where there is no cache."""
    if sys.platform == "win32":
        return None
    told = hashlib.sha256()
    for source in SOURCES:
        told.update(Path(__file__).with_name(source).read_bytes())
    told.update(
        repr((ALWAYS, ATTEMPTS, found, Path(found).stat().st_mtime, platform.machine(), processor())).encode()
    )
    try:
        return cache_folder("native") / f"step-{told.hexdigest()[:20]}.so"
    except WriteFailed:
        return None  # the plain way is as right


def processor() -> str:
    """What the processor can do: a cache may be shared by several machines."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor()
    lines = cpuinfo.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def make(found: str, path: Path) -> None:
    """Compiles to that path, whole or not at all; what the compiler said of a failure is left beside it."""
    source = Path(__file__).with_name(SOURCES[0])
    with tempfile.TemporaryDirectory(dir=path.parent, ignore_cleanup_errors=True) as folder:
        beside = Path(folder) / path.name
        said = ""
        for flags in ATTEMPTS:
            command = [found, *ALWAYS, *flags, "-o", str(beside), str(source), "-lm"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LONGEST)
            except (OSError, subprocess.TimeoutExpired) as error:
                said = str(error)
                break
            if done.returncode == 0:
                beside.replace(path)
                return
            said = done.stderr
    with contextlib.suppress(OSError):  # then it is tried again the next time
        path.with_suffix(".failed").write_text(said, encoding="utf-8")


def leave_to_another(path: Path) -> None:
    """Starts a process that compiles, unless one does already; it outlives this one where it has to."""
    begun = path.with_suffix(".begun")
    try:
        begun.touch(exist_ok=False)
    except OSError:
        return  # somebody is at it
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main() -> None:
    """In that process: python -m homespun.generation.native.compiling PATH"""
    path, found = Path(sys.argv[1]), compiler()
    os.nice(19)
    try:
        if found is not None:
            make(found, path)
    finally:
        path.with_suffix(".begun").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
