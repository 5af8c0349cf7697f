"""Processes that the studio starts: a list of arguments, in a session of their own, with their output in files.

A training outlives the studio: it leads a process group of its own, has no pipe to the studio, and gets no Ctrl-C
that is meant for the studio. The studio computes at low priority, so that a training has the processor. A child
begins at the priority of the thread that starts it (on Linux each thread has its own): so processes are started by
a thread that was there before the studio's priority was lowered.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from homespun.training.lock import SAME_BEGINNING, began

NICE = 10
COLUMNS = 100  # that a command has for what it prints


@dataclass(frozen=True)
class Started:
    """A process that was started. began: seconds since 1970: no other one of that number is taken for it."""

    number: int
    began: float | None


class Launcher:
    """Starts `homespun …`. Make it before `lower_priority`."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="homespun-launcher")
        self.thread.submit(os.getpid).result()  # the thread begins now
        self.children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, arguments: Sequence[str], *, folder: Path, output: Path, errors: Path) -> Started:
        """`homespun` with those arguments, in that folder. Raises OSError."""
        child = self.thread.submit(launched, list(arguments), folder, output, errors).result()
        self.children[child.pid] = child
        return Started(child.pid, began(child.pid))

    def code_of(self, number: int) -> int | None:
        """The exit code of a child that has ended; None while it runs, and of a process that is no child."""
        child = self.children.get(number)
        return None if child is None else child.poll()

    def close(self) -> None:
        self.thread.shutdown(wait=False)


def launched(arguments: list[str], folder: Path, output: Path, errors: Path) -> subprocess.Popen[bytes]:
    with output.open("ab") as out, errors.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "homespun", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log if errors != output else subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": str(COLUMNS)},
        )


def lower_priority() -> None:
    """Of this thread and those that it starts. Where a priority is the whole process's, children would have it."""
    if sys.platform == "linux":
        os.nice(NICE)


def is_alive(process: Started) -> bool:
    """Whether that very process runs."""
    try:
        found = psutil.Process(process.number)
        same = process.began is None or abs(found.create_time() - process.began) < SAME_BEGINNING
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def interrupt(process: Started) -> bool:
    """As Ctrl-C, to that process alone; whether it was there to get it."""
    return send(process, signal.SIGINT, group=False)


def end(process: Started, *, at_once: bool = False) -> bool:
    """Ends it with all that it has started."""
    return send(process, signal.SIGKILL if at_once else signal.SIGTERM, group=True)


def send(process: Started, number: signal.Signals, *, group: bool) -> bool:
    if process.number <= 1 or not is_alive(process):
        return False
    try:
        if group and os.getpgid(process.number) == process.number != os.getpgrp():
            os.killpg(process.number, number)
        else:
            os.kill(process.number, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
