"""Compiling in the background: one job at a time on a computer, and only while something needs its result.

    start(Job(("-m", "homespun.training.compile_beside"), "…", kind="training step"))

Every job has a small process that supervises it (`python -m homespun.machine.jobs`) and starts another one that
does the work. A started process reads standard input from the process that started it, and ends when that is
closed: no process outlives the one that it works for.

A job is urgent if a run goes on and waits for it: it ends with that run, and waits only for its turn. Any other
job is for the next time. It waits while one of our programs trains; a heavy one also waits while other programs
are busy. If one of these begins while the job works, the work is stopped and started again later. (It is not
suspended: PyTorch's compiler holds locks that the program may need.) A newer job of the same kind replaces one
that waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from homespun.errors import WriteFailed
from homespun.machine.activity import NO_LOCKS, folder_of_this_computer, needs_quiet
from homespun.machine.contention import OtherPrograms, processor_seconds
from homespun.machine.device import usable_cores

LOCK = "job.lock"
POLL = 0.5  # seconds
LONGEST_WAIT = 1800.0  # seconds to wait for its turn: after that the result is probably no longer needed
LONGEST_WORK = 600.0  # seconds; a training step takes one minute, and several on a slow computer
BUSY_FOR = 10.0  # seconds of work of other programs that stop a heavy job: less may be a web page that loads
CORE = 0.75  # of a core that other programs must leave free for a job
GAVE_UP = 75  # the exit code of a job that did not get its turn, or whose result is no longer needed


@dataclass(frozen=True)
class Job:
    """A background job: the process that works, and the conditions under which it does.

    arguments: of Python, for the process that works; stdin: a line of input for it.
    kind: of several waiting jobs of one kind, only the newest stays. purpose, done: files. If `purpose` does not
    exist, nothing needs the job any more; if `done` exists, the job is done. Empty: there is no such file.
    """

    arguments: tuple[str, ...]
    stdin: str = ""
    kind: str = "job"
    urgent: bool = False
    heavy: bool = False
    purpose: str = ""
    done: str = ""
    number: str = field(default_factory=lambda: os.urandom(8).hex())

    @classmethod
    def parse(cls, line: str) -> Job:
        said = json.loads(line)
        return cls(**{**said, "arguments": tuple(said["arguments"])})


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start and return the process that supervises the job. Its exit code is that of the work, or GAVE_UP.

    An urgent job ends with this process, or when the standard input of the returned process is closed. The output
    of its work is on the standard output of the returned process; it should be one line, which fits into a pipe.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "homespun.machine.jobs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if job.urgent else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches only the run, which then ends this process
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
    process.stdin.flush()
    if not job.urgent:
        process.stdin.close()
    return process


class Turns:
    """State that the jobs of a computer share: the lock of the working one, and the newest job of each kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = FileLock(folder / LOCK, timeout=0)

    def announce(self, job: Job) -> None:
        self.newest_of(job).write_text(job.number, encoding="ascii")

    def is_newest(self, job: Job) -> bool:
        try:
            return self.newest_of(job).read_text(encoding="ascii") == job.number
        except (OSError, ValueError):
            return False  # the cache was deleted, and with it the purpose of the job

    def newest_of(self, job: Job) -> Path:
        return self.folder / f"newest-{'-'.join(job.kind.split())}"

    def take(self) -> bool:
        """Try to take the lock; returns whether it is held now, until `give_back` or the end of this process."""
        try:
            self.lock.acquire()
        except (Timeout, *NO_LOCKS):
            return False
        return True

    def give_back(self) -> None:
        self.lock.release()


class Load:
    """How long other programs have been busy without a pause."""

    def __init__(
        self,
        others: OtherPrograms | None = None,
        clock: Callable[[], float] = time.monotonic,
        cores: Callable[[], int] = usable_cores,
    ) -> None:
        self.others = others or OtherPrograms(lambda: processor_seconds(low_priority=False))
        self.clock = clock
        self.cores = cores
        self.others.measure()
        self.measured = False
        self.since: float | None = None

    def busy_for(self) -> float:
        """Seconds that other programs have been busy; 0 if a core is free for a job."""
        self.measured = self.others.measure() or self.measured
        if self.cores() - self.others.cores >= CORE and self.measured:
            self.since = None
            return 0.0
        if self.since is None:
            self.since = self.clock()
        return max(self.clock() - self.since, POLL)  # also before the first measurement


@dataclass
class Supervisor:
    """Runs one job from its announcement to its end."""

    job: Job
    turns: Turns
    begin: Callable[[Job], Any]  # starts the work; returns a Popen
    stop: Callable[[Any], None]
    trains: Callable[[], bool] = needs_quiet
    load: Load = field(default_factory=Load)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> int:
        self.turns.announce(self.job)
        began = self.clock()
        while self.is_wanted() and self.turns.is_newest(self.job):
            if self.job.done and Path(self.job.done).exists():
                return 0
            if not self.job.urgent and self.clock() - began > LONGEST_WAIT:
                break
            if not self.is_held_up(at_work=False) and self.turns.take():
                try:
                    code = self.work()
                finally:
                    self.turns.give_back()
                if code is not None:
                    return code
            self.sleep(POLL)
        return GAVE_UP

    def work(self) -> int | None:
        """Return the exit code of the work; None if it was stopped and has to be done later."""
        worker = self.begin(self.job)
        began = self.clock()
        try:
            while worker.poll() is None:
                if not self.is_wanted() or self.clock() - began > LONGEST_WORK:
                    return GAVE_UP
                if self.is_held_up(at_work=True):
                    return None
                self.sleep(POLL)
            return int(worker.returncode)
        finally:
            self.stop(worker)

    def is_wanted(self) -> bool:
        return not self.job.purpose or Path(self.job.purpose).exists()

    def is_held_up(self, at_work: bool) -> bool:
        if self.job.urgent:
            return False
        busy = self.load.busy_for() if self.job.heavy else 0.0
        return self.trains() or busy > (BUSY_FOR if at_work else 0.0)


def begin(job: Job) -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(
        [sys.executable, *job.arguments],
        stdin=subprocess.PIPE,  # standard output is the supervisor's, which passes it on to the waiting process
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # the process has failed already; its exit code says so
        worker.stdin.write(job.stdin.encode() + b"\n")
        worker.stdin.flush()
    return worker


def stop(worker: subprocess.Popen[Any]) -> None:
    """End a process and all its children, such as a compiler's passes, which would otherwise go on."""
    if worker.poll() is None:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(worker.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        worker.kill()
    worker.wait()


def end_with_standard_input() -> None:
    """End this process, and its group if it leads one, when its standard input is closed."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):  # not sys.stdin, whose lock Python needs at exit
                continue
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(GAVE_UP)

    threading.Thread(target=watch, name="end-with-standard-input", daemon=True).start()


def wait_for_quiet(seconds: float = 4 * POLL) -> None:
    """Wait until no job works, for at most `seconds`. Call it inside `consistent_read`, before timing anything."""
    try:
        lock = FileLock(folder_of_this_computer() / LOCK)
        lock.acquire(timeout=seconds, poll_interval=POLL / 10)
    except (Timeout, WriteFailed, *NO_LOCKS):
        return  # a job of another run goes on: the timing includes its load
    lock.release()


def main() -> int:
    job = Job.parse(sys.stdin.readline())
    if job.urgent:
        end_with_standard_input()
    try:
        return Supervisor(job, Turns(folder_of_this_computer()), begin, stop).run()
    except (OSError, WriteFailed):
        return GAVE_UP  # the cache is not writable: the next run would not find the result


if __name__ == "__main__":
    sys.exit(main())
