"""How long PyTorch's threads spin while other programs use the cores.

A step is a sequence of a hundred parallel regions. GNU's OpenMP, which PyTorch includes on Linux, lets a thread
that has finished its share spin for 300,000 iterations, some milliseconds, before it sleeps. Next to other
programs two of our threads come to share a core, and the one that spins blocks the other, for which both wait. Two
cores, 10.7 M parameters, one sequence, next to three busy programs: 2.1 tokens per second by the C++ step, where
one thread generates 189, and 3.5 by PyTorch, where one thread generates 68.

The number of iterations is read from the environment when the library is loaded, which is too early for a program
that has imported torch before homespun. But libgomp spins for only 100 iterations while there are more OpenMP
threads than cores (its manual, GOMP_SPINCOUNT). So while other programs are busy, a `Crowd` of idle threads
exists: 162 and 57 tokens per second. The results stay the same to the bit, because the number of working threads
does not change. Without other programs 100 iterations are too few (335 tokens per second of 638, 115 of 162), so
there is no crowd then.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from homespun.machine.device import usable_cores
from homespun.machine.threads import SPINS

INTERVAL = 0.25  # seconds between two measurements: processor time is counted in units of 0.01 s
TOLERATED = 0.5  # cores that other programs may use while the computer still counts as free
KEPT_FOR = 30.0  # seconds that a crowd outlives the last measurement: one step may take that long


class OtherPrograms:
    """Cores that other programs use, among those available to this process: the mean between two measurements."""

    def __init__(
        self,
        used: Callable[[], tuple[float, float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """used: seconds of processor time taken so far by all programs on our cores, and by this process."""
        self.used = used or processor_seconds
        self.clock = clock
        self.last: tuple[float, float, float] | None = None
        self.cores = 0.0

    def measure(self) -> bool:
        """Update `cores` if INTERVAL has passed; returns whether it did."""
        now = self.clock()
        if self.last is not None and now - self.last[0] < INTERVAL:
            return False
        total, own = self.used()
        before, self.last = self.last, (now, total, own)
        if before is None:
            return False
        began, total_then, own_then = before
        self.cores = max(0.0, (total - total_then) - (own - own_then)) / (now - began)
        return True


def processor_seconds(low_priority: bool | None = None) -> tuple[float, float]:
    """Seconds of processor time, on the cores available to this process: of all programs, and of this process.

    low_priority: also count programs of low priority. None: only if this process has low priority itself, because
    otherwise they yield to it.
    """
    import psutil

    cores = psutil.cpu_times(percpu=True)
    if hasattr(os, "sched_getaffinity"):
        chosen = os.sched_getaffinity(0)
        cores = [core for number, core in enumerate(cores) if number in chosen] or cores
    names = ["user", "system", "irq", "softirq", "steal"]
    if low_priority is None:
        low_priority = hasattr(os, "getpriority") and os.getpriority(os.PRIO_PROCESS, 0) > 0
    if low_priority:
        names.append("nice")
    return sum(getattr(core, name, 0.0) for core in cores for name in names), time.process_time()


class Crowd:
    """As many sleeping OpenMP threads as there are cores, owned by one Python thread.

    renew: keep the crowd for KEPT_FOR more seconds; after that it ends by itself, and so does its effect.
    """

    def __init__(self, libraries: list[ctypes.CDLL], threads: int) -> None:
        self.libraries = libraries
        self.threads = threads
        self.wanted_until = 0.0
        self.left = threading.Event()
        self.renew()
        threading.Thread(target=self.stay, name="homespun-crowd", daemon=True).start()

    def renew(self) -> None:
        self.wanted_until = time.monotonic() + KEPT_FOR

    def leave(self) -> None:
        self.left.set()

    def stay(self) -> None:
        for library in self.libraries:
            nothing = ctypes.cast(library.omp_get_thread_num, ctypes.c_void_p)  # a function without side effects
            library.GOMP_parallel(nothing, None, self.threads, 0)
        while (seconds := self.wanted_until - time.monotonic()) > 0 and not self.left.wait(seconds):
            continue
        self.left.set()


class Contention:
    """Tracks whether other programs are busy, and keeps a crowd while they are. One per process, `contention`."""

    def __init__(
        self,
        others: OtherPrograms | None = None,
        crowd: Callable[[], Crowd | None] | None = None,
        cores: Callable[[], int] = usable_cores,
    ) -> None:
        self.others = others or OtherPrograms()
        self.make_crowd = crowd or crowd_here
        self.cores = cores
        self.crowd: Crowd | None = None
        self.busy = False
        self.lock = threading.Lock()

    def check(self, threads: int) -> bool:
        """Whether other programs leave fewer than `threads` cores free."""
        if threads < 2:
            return False  # a single thread never waits for another
        with self.lock:
            if self.others.measure():
                self.busy = self.cores() - self.others.cores < threads - TOLERATED
                self.call_crowd()
            return self.busy

    def call_crowd(self) -> None:
        if not self.busy:
            if self.crowd is not None:
                self.crowd.leave()
            self.crowd = None
        elif self.crowd is None or self.crowd.left.is_set():
            self.crowd = self.make_crowd()
        else:
            self.crowd.renew()


def crowd_here() -> Crowd | None:
    """A crowd; None if PyTorch's threads are not GNU's, or if the user has set how they wait."""
    if "OMP_WAIT_POLICY" in os.environ or os.environ.get("GOMP_SPINCOUNT", str(SPINS)) != str(SPINS):
        return None
    libraries = loaded_libgomp()
    return Crowd(libraries, usable_cores()) if libraries else None


def loaded_libgomp() -> list[ctypes.CDLL]:
    """Every libgomp in this process: wheels include copies of their own."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return []
    lines = (line.split(maxsplit=5) for line in maps.read_text(errors="replace").splitlines())
    paths = {line[5] for line in lines if len(line) == 6 and re.search(r"/libgomp[^/]*\.so[^/]*$", line[5])}
    found = []
    for path in sorted(paths):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue  # replaced on disk since it was loaded: its threads go on spinning
        if hasattr(library, "GOMP_parallel") and hasattr(library, "omp_get_thread_num"):
            library.GOMP_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            library.GOMP_parallel.restype = None
            found.append(library)
    return found


contention = Contention()


def check_contention() -> bool:
    """Call in every step of a long computation: whether other programs use the cores that PyTorch uses.

    Measures at most four times a second, and makes idle threads sleep sooner while other programs are busy.
    """
    import torch

    return contention.check(torch.get_num_threads())
