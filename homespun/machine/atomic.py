"""Files that are complete or absent: written under a temporary name, flushed to disk, then renamed.

A reader never sees half a file, and a crash, a full disk or a power cut leaves the previous
version in place. Everything that homespun writes into a run folder is written this way.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from homespun.errors import WriteFailed
from homespun.fetch.cache import is_abandoned, unfinished_name

STAGE = ".saving-"
ABANDONED = 3600.0  # seconds: an incomplete file older than that was left by a process that was killed


def write_atomically(path: str | Path, data: bytes | str) -> None:
    """Write data (text as UTF-8) to path, whole or not at all. Raises WriteFailed."""
    with replacing(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: str | Path, value: Any) -> None:
    """Write value as indented JSON, whole or not at all. Raises WriteFailed."""
    write_atomically(path, json_text(value))


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to, which replaces path when the block ends without an error.

    If the block raises, path is unchanged and the temporary file is removed.
    Raises WriteFailed if the disk or the folder cannot be written to.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name[:100]}.{unfinished_name()}.tmp")
    with failures_explained(path):
        try:
            with beside.open("xb") as file:
                yield file
                flush(file)
            beside.replace(path)
            flush_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)  # already gone if it was renamed
    sweep(path.parent, f".{path.name[:100]}.*.tmp")


@contextmanager
def replacing_files(folder: str | Path, *, seal: str) -> Iterator[Path]:
    """A folder to write files into, which are moved into `folder` when the block ends without an error.

    `seal` is the file that readers open first. If only weights have changed it stays in place;
    otherwise the old seal is removed first and the new one is moved in last. A reader who finds
    the same seal before and after reading has read files that belong together. If the disk is
    full, nothing changes.
    """
    folder = Path(folder)
    with failures_explained(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        stage = folder / f"{STAGE}{unfinished_name()}"
        try:
            stage.mkdir()
            yield stage
            move_in(stage, folder, seal)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()
    sweep(folder, f"{STAGE}*")


def move_in(stage: Path, folder: Path, seal: str) -> None:
    for file in stage.iterdir():
        with file.open("rb") as written:
            os.fsync(written.fileno())
    files = [file for file in stage.iterdir() if not same_small_file(file, folder / file.name)]
    if any(file.suffix != ".safetensors" for file in files):
        (folder / seal).unlink(missing_ok=True)
        files = list(stage.iterdir())
    for file in sorted(files, key=lambda file: file.name == seal):
        file.replace(folder / file.name)
    flush_folder(folder)


def same_small_file(one: Path, other: Path) -> bool:
    """Whether two files are equal. Weights are large and count as different: replacing them is harmless."""
    return one.suffix != ".safetensors" and other.is_file() and one.read_bytes() == other.read_bytes()


def flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder to disk: a rename is permanent only after that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, pattern: str) -> None:
    """Remove incomplete files of killed processes. This is only cleaning up: if it fails, nothing is lost."""
    for left in folder.glob(pattern):
        try:
            if is_abandoned(left, ABANDONED):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError:
            continue  # another process has just removed it


@contextmanager
def failures_explained(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a WriteFailed that says what to do."""
    try:
        yield
    except OSError as error:
        what, todo = explain(error, path)
        raise WriteFailed(what, todo) from error


def explain(error: OSError, path: Path) -> tuple[str, str]:
    """What went wrong, in words for the user, and what to do about it."""
    if path.parent.name.startswith(STAGE):
        path = path.parent.parent / path.name  # the user knows the file by its final name
    kept = "What was there before is untouched."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full: {path} could not be written{room_left(path)}. {kept}",
            "Make room on it, or choose a folder on another disk.",
        )
    if error.errno == errno.EFBIG:
        return (
            f"{path} would be larger than this disk or this account allows (see: ulimit -f). {kept}",
            "Choose a folder on another disk, or raise the limit.",
        )
    if error.errno == errno.EROFS:
        return f"{path} lies on a disk that is read-only.", "Choose a folder that you can write to."
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"You have no permission to write {path}.",
            f"Choose a folder of your own, or look who owns this one:  ls -ld '{path.parent}'",
        )
    if error.errno == errno.ENOENT:
        return (
            f"{path} could not be written: its folder is not there (any more).",
            f"Make it again:  mkdir -p '{path.parent}'",
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return (
            f"{path} could not be written: something that should be a folder on the way to it is a file.",
            "Choose another name, or move that file out of the way.",
        )
    if error.errno == errno.EISDIR:
        return f"{path} could not be written: a folder has that name.", "Choose another name, or move that folder."
    if error.errno == errno.ENAMETOOLONG:
        return f"{path} could not be written: the name is too long.", "Choose a shorter name."
    return f"{path} could not be written: {error.strerror or error}.", "Try again, or choose another folder."


def room_left(path: Path) -> str:
    nearest = next((folder for folder in (path, *path.parents) if folder.is_dir()), None)
    if nearest is None:
        return ""
    return f" ({shutil.disk_usage(nearest).free / 2**20:,.1f} MiB are free)"
