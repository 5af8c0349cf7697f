"""C++ of ours, compiled on the user's machine for its processor, and kept in the user's cache.

Compiling takes a few seconds, longer than a short piece of work. So whoever has a use for it takes the library
where it is there already; `compile_beside` has a process of its own make it, for when it is needed or, as a job in
the background, for the next time; and `library(wait=True)` is for those who would rather wait. Where there is no
compiler, or it fails, there is no library, and the way in PyTorch is as right.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from homespun.errors import WriteFailed
from homespun.fetch.cache import cache_folder
from homespun.machine.device import compiler
from homespun.machine.jobs import Job, end_with_standard_input, start, stop

ALWAYS = ("-std=c++17", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-shared", "-fPIC")
# The first that the compiler understands. Without OpenMP a step runs on one core.
ATTEMPTS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native", "-fopenmp"), ("-mcpu=native",), ())
IN_HASTE = "in-haste"
LONGEST = 300  # seconds

at_it: list[subprocess.Popen[bytes]] = []  # compilers that this process has started and will wait for


@dataclass(frozen=True)
class Source:
    """Files in one folder that become one library: the first is compiled, it includes the others."""

    name: str
    folder: Path
    files: tuple[str, ...]

    def library(self, *, wait: bool = False, at_most: float = math.inf) -> Path | None:
        """Where the compiled library is; None where it is not there yet, or cannot be made here.

        wait: compile it now, if it has to be, or wait until the process that this one has begun it in is done.
        at_most: seconds to wait. Where they are over, that process goes on.
        """
        path = self.place()
        if path is None:
            return None
        if wait:
            deadline = time.monotonic() + at_most
            wait_for_own_compilers(at_most)
            if at_most == math.inf:
                make_once(self.main, path)
            elif is_to_be_made(path):
                leave_to_another(self.main, path, in_haste=True)
                wait_for_own_compilers(deadline - time.monotonic())
        return path if path.exists() else None

    def can_be_had(self) -> bool:
        """Whether there is a library, or one can be made."""
        path = self.place()
        return path is not None and (path.exists() or is_to_be_made(path))

    def compile_beside(self, *, in_haste: bool = False) -> None:
        """Has the library made by another process, unless it is there, or failed before.

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


def make_once(source: Path, path: Path) -> None:
    """As `make`, unless it is made already: by this process, or by another one, which is waited for."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=LONGEST * len(ATTEMPTS))
    except (Timeout, OSError, NotImplementedError):
        pass  # twice is as right: a library appears under its name whole
    try:
        if is_to_be_made(path):
            make(source, path)
    finally:
        lock.release()


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
                code, said = compiled(command)
            except (OSError, subprocess.TimeoutExpired) as error:
                said = str(error)
                break
            if code == 0:
                beside.replace(path)
                return
    with contextlib.suppress(OSError):  # then it is tried again the next time
        path.with_suffix(".failed").write_text(said, encoding="utf-8")


def compiled(command: list[str]) -> tuple[int, str]:
    """The compiler's exit code and what it said. Raises OSError, and TimeoutExpired after LONGEST."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        _, said = process.communicate(timeout=LONGEST)
        return process.returncode, said
    finally:
        stop(process)


def leave_to_another(source: Path, path: Path, *, in_haste: bool = False) -> None:
    """Starts a process that compiles; it outlives this one where it has to.

    Of several for one library one compiles, and the others end when it has. Whatever is not in haste is a job.
    """
    arguments = ("-m", "homespun.machine.builds", str(source), str(path))
    if not in_haste:
        start(Job(arguments, kind=path.stem.split("-")[0], purpose=str(path.parent), done=str(path)))
        return
    at_it.append(
        subprocess.Popen(
            [sys.executable, *arguments, IN_HASTE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    )


def wait_for_own_compilers(at_most: float = math.inf) -> None:
    """Returns when those are done that this process has started, or after so many seconds."""
    deadline = time.monotonic() + at_most
    while at_it:
        try:
            at_it[-1].wait(None if at_most == math.inf else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return
        at_it.pop()


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


def main() -> None:
    """In that process: python -m homespun.machine.builds SOURCE LIBRARY [in-haste]"""
    source, path = Path(sys.argv[1]), Path(sys.argv[2])
    if IN_HASTE not in sys.argv[3:]:
        end_with_standard_input()
        give_way()
    make_once(source, path)


if __name__ == "__main__":
    main()
