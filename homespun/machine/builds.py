"""C++ of ours, compiled on the user's machine for its processor, and kept in the user's cache.

Compiling takes a few seconds, longer than a short piece of work. So whoever has a use for it takes the library
where it is there already; `compile_beside` has a process of its own make it, for the next time or for when it is
needed, and `library(wait=True)` is for those who would rather wait. Where there is no compiler, or it fails,
there is no library, and the way in PyTorch is as right.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from homespun.errors import WriteFailed
from homespun.fetch.cache import cache_folder
from homespun.machine.device import compiler

ALWAYS = ("-std=c++17", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-shared", "-fPIC")
# The first that the compiler understands. Without OpenMP a step runs on one core.
ATTEMPTS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native", "-fopenmp"), ("-mcpu=native",), ())
IN_HASTE = "in-haste"
LONGEST = 300  # seconds
ABANDONED = 2 * LONGEST  # a compiler that began so long ago was killed

at_it: list[subprocess.Popen[bytes]] = []  # compilers that this process has started


@dataclass(frozen=True)
class Source:
    """Files in one folder that become one library: the first is compiled, it includes the others."""

    name: str
    folder: Path
    files: tuple[str, ...]

    def library(self, *, wait: bool = False) -> Path | None:
        """Where the compiled library is; None where it is not there yet, or cannot be made here.

        wait: compile it now, if it has to be, or wait until the process that this one has begun it in is done.
        """
        path = self.place()
        if path is None:
            return None
        if wait:
            wait_for_own_compilers()
            if is_to_be_made(path):
                make(self.main, path)
        return path if path.exists() else None

    def can_be_had(self) -> bool:
        """Whether there is a library, or one can be made."""
        path = self.place()
        return path is not None and (path.exists() or is_to_be_made(path))

    def compile_beside(self, *, in_haste: bool = False) -> None:
        """Has the library made by another process, unless it is there, or being made, or failed before.

        in_haste: it will be waited for; otherwise it is for the next time, and takes what nobody else needs.
        """
        path = self.place()
        if path is not None and is_to_be_made(path):
            leave_to_another(self.main, path, in_haste=in_haste)

    @property
    def main(self) -> Path:
        return self.folder / self.files[0]

    def place(self, folder: Path | None = None) -> Path | None:
        """A name for what this gives with this compiler on this processor; None without a compiler, or a cache.

        folder: where it is to be instead of in the user's cache.
        """
        found = compiler()
        if found is None or sys.platform == "win32":
            return None
        told = hashlib.sha256()
        for file in self.files:
            told.update((self.folder / file).read_bytes())
        told.update(
            repr((ALWAYS, ATTEMPTS, found, Path(found).stat().st_mtime, platform.machine(), processor())).encode()
        )
        try:
            return (folder or cache_folder("native")) / f"{self.name}-{told.hexdigest()[:20]}.so"
        except WriteFailed:
            return None  # the plain way is as right


def is_to_be_made(path: Path) -> bool:
    return not path.exists() and not path.with_suffix(".failed").exists()


def processor() -> str:
    """What the processor can do: a cache may be shared by several machines."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor()
    lines = cpuinfo.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def make(source: Path, path: Path) -> None:
    """Compiles to that path, whole or not at all; what the compiler said of a failure is left beside it."""
    found = compiler()
    if found is None:
        return
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


def leave_to_another(source: Path, path: Path, *, in_haste: bool = False) -> None:
    """Starts a process that compiles, unless one does already; it outlives this one where it has to."""
    begun = path.with_suffix(".begun")
    try:
        begun.touch(exist_ok=is_abandoned(begun))
    except OSError:
        return  # somebody is at it
    at_it.append(
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(source), str(path), *([IN_HASTE] if in_haste else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def wait_for_own_compilers() -> None:
    """Returns when those are done that this process has started."""
    while at_it:
        at_it.pop().wait()


def give_way() -> None:
    """Leaves this process what nobody else wants of the processor.

    Linux may share the processor between sessions first, and ask only within one how nice a process is (sched(7),
    autogroup). So a process that leads a session says it of that as well.
    """
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # a system without it
            Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def is_abandoned(begun: Path) -> bool:
    """Whether that mark was left by a process that has not come to its end, and never will."""
    try:
        return abs(time.time() - begun.stat().st_mtime) > ABANDONED
    except OSError:
        return False


def main() -> None:
    """In that process: python -m homespun.machine.builds SOURCE LIBRARY [in-haste]"""
    source, path = Path(sys.argv[1]), Path(sys.argv[2])
    if IN_HASTE not in sys.argv[3:]:
        give_way()
    try:
        make(source, path)
    finally:
        path.with_suffix(".begun").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
