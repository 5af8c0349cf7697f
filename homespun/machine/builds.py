"""Our C++, compiled on the user's machine for its processor and stored in the user's cache.

Compiling takes a few seconds, longer than a short task. So callers use the library only if it exists already.
`compile_beside` starts another process that builds it, either because it is needed soon or, as a background job,
for the next time; `library(wait=True)` is for callers that prefer to wait. If there is no compiler, or it fails,
there is no library, and the PyTorch implementation gives equally correct results.
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

ALWAYS = ("-std=c++17", "-O3", "-fno-math-errno", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread")
# The first flags that the compiler accepts are used. Without OpenMP some training kernels run on one core.
ATTEMPTS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native", "-fopenmp"), ("-mcpu=native",), ())
IN_HASTE = "in-haste"
LONGEST = 300  # seconds

at_it: list[subprocess.Popen[bytes]] = []  # compilers that this process has started and will wait for


@dataclass(frozen=True)
class Source:
    """Files in one folder that become one library: the first is compiled and includes the others."""

    name: str
    folder: Path
    files: tuple[str, ...]

    def library(self, *, wait: bool = False, at_most: float = math.inf) -> Path | None:
        """Path of the compiled library; None if it does not exist yet, or cannot be built here.

        wait: compile it now if necessary, or wait for the process that this one has started for it.
        at_most: seconds to wait. After that, the compiling process goes on.
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
        """Whether the library exists or can be built."""
        path = self.place()
        return path is not None and (path.exists() or is_to_be_made(path))

    def compile_beside(self, *, in_haste: bool = False) -> None:
        """Let another process build the library, unless it exists, or building it failed before.

        in_haste: something will wait for it; otherwise it is for the next time, and uses only idle resources.
        """
        path = self.place()
        if path is not None and is_to_be_made(path):
            leave_to_another(self.main, path, in_haste=in_haste)

    @property
    def main(self) -> Path:
        return self.folder / self.files[0]

    def place(self, folder: Path | None = None) -> Path | None:
        """Path for the library of this compiler on this processor; None without a compiler or a cache.

        folder: use this folder instead of the user's cache.
        """
        found = compiler()
        if found is None or sys.platform == "win32":
            return None
        digest = hashlib.sha256()
        for file in self.files:
            digest.update((self.folder / file).read_bytes())
        digest.update(
            repr((ALWAYS, ATTEMPTS, found, Path(found).stat().st_mtime, platform.machine(), processor())).encode()
        )
        try:
            return (folder or cache_folder("native")) / f"{self.name}-{digest.hexdigest()[:20]}.so"
        except WriteFailed:
            return None  # without a cache: the PyTorch implementation is equally correct


def is_to_be_made(path: Path) -> bool:
    return not path.exists() and not path.with_suffix(".failed").exists()


def processor() -> str:
    """The instruction sets of the processor: several machines may share a cache."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor()
    lines = cpuinfo.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def make_once(source: Path, path: Path) -> None:
    """Compile as `make` does, unless this process or another one has done so; waits for another one."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=LONGEST * len(ATTEMPTS))
    except (Timeout, OSError, NotImplementedError):
        pass  # compiling twice is harmless: a library appears under its name only when complete
    try:
        if is_to_be_made(path):
            make(source, path)
    finally:
        lock.release()


def make(source: Path, path: Path) -> None:
    """Compile to that path, whole or not at all; after a failure, write the compiler's output next to it."""
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
            except subprocess.TimeoutExpired:
                return  # the computer is busy, and the source is not at fault: it is tried again the next time
            except OSError as error:
                said = str(error)
                break
            if code == 0:
                beside.replace(path)
                return
    with contextlib.suppress(OSError):  # then compiling is tried again the next time
        path.with_suffix(".failed").write_text(said, encoding="utf-8")


def compiled(command: list[str]) -> tuple[int, str]:
    """Return the compiler's exit code and error output. Raises OSError, and TimeoutExpired after LONGEST."""
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
    """Start a process that compiles, and that outlives this one if necessary.

    If several processes want the same library, one compiles and the others wait for it. Without `in_haste` it
    becomes a background job.
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
    """Wait until the compilers that this process has started are done, or for so many seconds."""
    deadline = time.monotonic() + at_most
    while at_it:
        try:
            at_it[-1].wait(None if at_most == math.inf else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return
        at_it.pop()


def give_way() -> None:
    """Give this process the lowest priority for the processor.

    Linux may divide the processor among sessions first, and apply nice values only within a session (sched(7),
    autogroup). So a process that leads a session sets the priority of the session, too.
    """
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # a system without autogroups
            Path("/proc/self/autogroup").write_text("19", encoding="ascii")


def main() -> None:
    """Entry point of that process: python -m homespun.machine.builds SOURCE LIBRARY [in-haste]"""
    source, path = Path(sys.argv[1]), Path(sys.argv[2])
    if IN_HASTE not in sys.argv[3:]:
        end_with_standard_input()
        give_way()
    make_once(source, path)


if __name__ == "__main__":
    main()
