"""The lock on a run folder: one process trains in it; a second one gets an error that names the first."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from homespun.errors import WriteFailed
from homespun.machine.atomic import write_json
from homespun.training.resume import FOLDER

LOCK = "lock"
HOLDER = "holder.json"


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
        }
        write_json(folder / HOLDER, holder)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def whom(run: Path) -> str:
    """The process that trains there: " (process 1234 on laptop, since …)"; "" if that is not recorded."""
    try:
        holder = json.loads((run / FOLDER / HOLDER).read_text(encoding="utf-8"))
        return f" (process {int(holder['process'])} on {holder['computer']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
