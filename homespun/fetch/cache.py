"""The user's cache: where it is, and how files are written to it completely or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from homespun.errors import DownloadFailed, WriteFailed


def cache_folder(*parts: str) -> Path:
    """Return the user's cache, or a folder in it, created on demand.

    It is $HOMESPUN_CACHE if that is set, else the system's place for caches. Unfinished files of killed processes
    are removed from it, and old datasets if they take much space (dataset/unused.py). The user may delete all of
    it at any time; it is created again when needed.
    Raises WriteFailed.
    """
    import platformdirs

    chosen = os.environ.get("HOMESPUN_CACHE")
    root = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("homespun", appauthor=False)
    folder = root.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(
            f"The cache folder {folder} cannot be made: {error.strerror or error}.",
            "Set HOMESPUN_CACHE to a folder that you may write to.",
        ) from error
    return folder


ANOTHER = 60.0  # seconds: a process that began so much later has only the number of the writer


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that appears under its name only if the block succeeds; otherwise nothing of it is left.

    Raises WriteFailed if the disk is full or not writable.
    """
    beside = path.with_name(f".{path.name}.{unfinished_name()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise WriteFailed(
            f"{path} could not be written: {error.strerror or error}.",
            "Make room on that disk, or set HOMESPUN_CACHE to a folder on another one.",
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def unfinished_name() -> str:
    """What the name of a file or folder that is being written ends with: `is_abandoned` finds its writer by it."""
    return f"{os.getpid()}-{os.urandom(4).hex()}"


def is_abandoned(path: Path, after_seconds: float, written: float | None = None) -> bool:
    """Whether nobody has written to it for so long, and the process that its name speaks of is gone.

    A process may be slow, or stopped together with the whole computer, for any time.
    written: when it was written to last, where its own time does not say. Raises OSError where it is gone.
    """
    import psutil

    written = path.stat().st_mtime if written is None else written
    if time.time() - written <= after_seconds:
        return False
    writers = re.findall(r"(?:^|[.-])(\d{1,9})-\w{8}(?=\.|$)", path.name)
    try:
        return not writers or psutil.Process(int(writers[-1])).create_time() > written + ANOTHER
    except psutil.Error:
        return True


def remove_abandoned(folder: Path, pattern: str = "*", after_seconds: float = 86400.0) -> None:
    """Remove files that were not written to for a day: the unfinished files of killed processes."""
    for path in folder.glob(pattern):
        try:
            if path.is_file() and is_abandoned(path, after_seconds):
                path.unlink()
        except OSError:
            continue  # already gone, or another user's: it only takes some space


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def check_size(said: str, name: str, max_bytes: int) -> int:
    """Return the length that the sender announces, before the download; 0 if it announces none. It may be wrong.

    Raises DownloadFailed if it is too large.
    """
    size = int(said[:30]) if said.isdecimal() else 0
    if size > max_bytes:
        raise too_large(name, max_bytes)
    return size


def too_large(name: str, max_bytes: int) -> DownloadFailed:
    return DownloadFailed(
        f"{name} is larger than {max_bytes:,} bytes.", "Download it yourself and give the path of the file."
    )


def copy_checked(
    blocks: Iterable[bytes], file: BinaryIO, name: str, max_bytes: int, sha256: str | None = None
) -> None:
    """Copy the blocks into the file. `name` is used in messages.

    Raises DownloadFailed for more than `max_bytes`, or if the sha256 is not the expected one.
    """
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        size += len(block)
        if size > max_bytes:
            raise too_large(name, max_bytes)
        digest.update(block)
        file.write(block)
    if sha256 and digest.hexdigest() != sha256:
        raise DownloadFailed(
            f"{name} is not what it should be: its sha256 is {digest.hexdigest()}, expected {sha256}.",
            "It changed at its origin, or something on the way replaced it. It was thrown away.",
        )
