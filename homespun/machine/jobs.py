"""Compiling in the background: one job at a time on a computer, and only while it has a purpose.

    start(Job(("-m", "homespun.training.compile_beside"), "…", kind="training step"))

Every job has a small process of its own that supervises it (`python -m homespun.machine.jobs`) and starts what
does the work. Whoever is started reads the standard input of whoever started it, and ends when that is closed:
nothing survives the process that it works for.

A job is urgent where a run goes on and waits for it: it ends with that run, and waits only for its turn. Any other
is for the next time. It waits while a program of ours trains, and a heavy one while other programs are busy as
well; when one of these begins meanwhile, the work is stopped and begun again later. (Not suspended: PyTorch's
compiler holds locks that the program may need.) A newer job of its kind replaces it while it waits.
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
LONGEST_WAIT = 1800.0  # seconds for its turn: by then the user does something else
LONGEST_WORK = 600.0  # seconds; a training step takes one minute, and several where the computer is slow
BUSY_FOR = 10.0  # seconds of other programs' work that stop a heavy job: less may be a page that is loaded
CORE = 0.75  # of a core free of other programs: what a job needs
GAVE_UP = 75  # the exit code of a job that did not get its turn, or has lost its purpose


@dataclass(frozen=True)
class Job:
    """arguments: of Python, for the process that works; stdin: a line that it is given.

    kind: of several that wait, the newest of a kind is left. purpose, done: files. Without the one nobody wants
    the job any more; with the other, it is done. Empty: there is no such file.
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
    """The process that supervises the job; its exit code is that of the work, or GAVE_UP.

    An urgent job ends with this process, and when the standard input of the one returned is closed. What its work
    prints is on the standard output of the one returned; it should be a line, which fits into a pipe.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "homespun.machine.jobs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if job.urgent else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the run, which then ends this one
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
    process.stdin.flush()
    if not job.urgent:
        process.stdin.close()
    return process


class Turns:
    """What the jobs of a computer share: the lock of the one that works, and which of each kind is the newest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = FileLock(folder / LOCK, timeout=0)

    def announce(self, job: Job) -> None:
        self.newest_of(job).write_text(job.number, encoding="ascii")

    def is_newest(self, job: Job) -> bool:
        try:
            return self.newest_of(job).read_text(encoding="ascii") == job.number
        except (OSError, ValueError):
            return False  # the cache was deleted: so was what the job is for

    def newest_of(self, job: Job) -> Path:
        return self.folder / f"newest-{'-'.join(job.kind.split())}"

    def take(self) -> bool:
        """Whether it is this job's turn now; then it is until `give_back`, or until this process ends."""
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
        """Seconds; 0 where a core is free for a job."""
        self.measured = self.others.measure() or self.measured
        if self.cores() - self.others.cores >= CORE and self.measured:
            self.since = None
            return 0.0
        if self.since is None:
            self.since = self.clock()
        return max(self.clock() - self.since, POLL)  # before anything is measured, too


@dataclass
class Supervisor:
    """A job from its announcement to its end."""

    job: Job
    turns: Turns
    begin: Callable[[Job], Any]  # starts the work: a Popen
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
        """The exit code of the work; None where it was stopped, and is to be done later."""
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
        stdin=subprocess.PIPE,  # standard output is the supervisor's, which hands it on to whoever waits
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has failed already, as its exit code will say
        worker.stdin.write(job.stdin.encode() + b"\n")
        worker.stdin.flush()
    return worker


def stop(worker: subprocess.Popen[Any]) -> None:
    """Ends a process with all that it has started, such as a compiler's passes, which would go on."""
    if worker.poll() is None:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(worker.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        worker.kill()
    worker.wait()


def end_with_standard_input() -> None:
    """Ends this process, and those of its group where it leads one, when its standard input is closed."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):  # not sys.stdin, whose lock Python wants when it ends
                continue
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(GAVE_UP)

    threading.Thread(target=watch, name="end-with-standard-input", daemon=True).start()


def wait_for_quiet(seconds: float = 4 * POLL) -> None:
    """Returns when no job works, at the latest after so long. For whoever measures a time next."""
    try:
        lock = FileLock(folder_of_this_computer() / LOCK)
        lock.acquire(timeout=seconds, poll_interval=POLL / 10)
    except (Timeout, WriteFailed, *NO_LOCKS):
        return  # another run's job goes on: then what is timed is what there is
    lock.release()


def main() -> int:
    job = Job.parse(sys.stdin.readline())
    if job.urgent:
        end_with_standard_input()
    try:
        return Supervisor(job, Turns(folder_of_this_computer()), begin, stop).run()
    except (OSError, WriteFailed):
        return GAVE_UP  # a cache that cannot be written: nothing would be found in it next time


if __name__ == "__main__":
    sys.exit(main())
