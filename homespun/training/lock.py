"""One run, one process: a folder that is being trained in is held, and a second run is told by whom."""

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
    """Holds the run folder while the block runs. WriteFailed where another process does.

    The lock is the system's: it is gone with the process that held it, however that ended,
    so there are no stale ones to be cleared away.
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
    """Who is training there: " (process 1234 on laptop, since …)", or nothing where nobody says so."""
    try:
        holder = json.loads((run / FOLDER / HOLDER).read_text(encoding="utf-8"))
        return f" (process {int(holder['process'])} on {holder['computer']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
