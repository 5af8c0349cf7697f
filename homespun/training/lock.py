"""The lock on a run folder: one process trains in it; a second one gets an error that names the first."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from homespun.errors import WriteFailed
from homespun.machine.atomic import write_json
from homespun.training.resume import FOLDER

LOCK = "lock"
HOLDER = "holder.json"
SAME_BEGINNING = 2.0  # seconds: the clock may have been set a little meanwhile


@dataclass(frozen=True)
class Holder:
    """The process that trains in a folder.

    since    in words; began: when the process began, seconds since 1970, so that another one that has got the same
             number meanwhile is not taken for it; None if an earlier version wrote it
    """

    process: int
    computer: str
    since: str
    began: float | None = None

    def is_alive(self) -> bool | None:
        """Whether it still runs; None where that cannot be known: it is on another computer."""
        import psutil

        if self.computer != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.process)
            same = self.began is None or abs(process.create_time() - self.began) < SAME_BEGINNING
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold the lock of the run folder while the block runs. WriteFailed if another process holds it.

    The operating system releases the lock when the process that holds it ends, however it ends,
    so there are no stale locks to remove.
    """
    folder = run / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise WriteFailed(
            f"{run} is being trained in by another process{whom(run)}.",
            "Wait until it ends, or stop it; or choose another folder with --out.",
        ) from None
    except OSError as error:
        raise WriteFailed(
            f"{run} cannot be written to: {error.strerror or error}.", "Choose another folder with --out."
        ) from error
    try:
        holder = {
            "process": os.getpid(),
            "computer": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M"),
            "began": began(os.getpid()),
        }
        write_json(folder / HOLDER, holder)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def holder_of(run: Path) -> Holder | None:
    """The process that says that it trains there; None if none does. It may have been killed: ask `is_alive`."""
    try:
        said = json.loads((run / FOLDER / HOLDER).read_text(encoding="utf-8"))
        began = said.get("began")
        return Holder(
            process=int(said["process"]),
            computer=str(said["computer"]),
            since=str(said["since"]),
            began=None if began is None else float(began),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def whom(run: Path) -> str:
    """The process that trains there: " (process 1234 on laptop, since …)"; "" if that is not recorded."""
    holder = holder_of(run)
    return "" if holder is None else f" (process {holder.process} on {holder.computer}, since {holder.since})"


def began(process: int) -> float | None:
    """When a process began, seconds since 1970; None where the system does not say."""
    import psutil

    try:
        return float(psutil.Process(process).create_time())
    except psutil.Error:
        return None
