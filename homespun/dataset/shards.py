"""Shards: ids in memory-mapped files, in folders that are complete or absent.

A folder holds one `NAME.npy` for each split, in NumPy's own format so that other programs can open it, and
`meta.json`, which describes them. The folder is written under a temporary name, flushed to disk and then renamed;
if two processes prepare the same text at once, both end up with one complete folder.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.errors import WriteFailed
from homespun.fetch.cache import is_abandoned

if TYPE_CHECKING:
    from homespun.dataset.pipeline import EncodedPart

FORMAT = 1  # of the folder. Raise it when ids or splits change: every text is then prepared again


@dataclass(frozen=True)
class Split:
    """A part of the text as ids.

    ids: (N,), uint16 or uint32, memory-mapped from its file.
    characters, bytes (UTF-8), documents: size of the text that the ids represent.
    """

    name: str
    ids: np.ndarray
    characters: int
    bytes: int
    documents: int

    @property
    def tokens(self) -> int:
        return len(self.ids)

    @property
    def characters_per_token(self) -> float:
        return self.characters / self.tokens

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens


def id_type(vocab_size: int) -> np.dtype:
    """Return the smallest type for the ids 0 … vocab_size-1: uint16 or uint32, little-endian."""
    return np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<u4")


class ShardWriter:
    """Writes ids to a .npy file as they arrive; the header with their number is written again at the end."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.path = path
        self.dtype = dtype
        self.tokens = self.characters = self.bytes = self.documents = 0
        self.file = path.open("wb", buffering=2**20)
        self.header_bytes = self.write_header()

    def write_header(self) -> int:
        """Write the header and return its length, which does not depend on the number of tokens."""
        self.file.seek(0)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.tokens,)}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self.file.tell()

    def append(self, ids: np.ndarray) -> None:
        """Append ids (n,), each less than the vocabulary size."""
        self.file.write(np.ascontiguousarray(ids, dtype=self.dtype).data)
        self.tokens += len(ids)

    def add(self, part: EncodedPart, end: np.ndarray | None) -> None:
        """Append a part of the text, and `end` behind a document that ends with it; count what they stand for."""
        self.append(part.ids)
        if part.ends and end is not None:
            self.append(end)
        self.characters += part.characters
        self.bytes += part.bytes
        self.documents += part.ends

    def finish(self) -> dict[str, Any]:
        """Close the file, with all data on the disk, and return its entry for meta.json."""
        header_bytes = self.write_header()
        assert header_bytes == self.header_bytes
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return {
            "name": self.path.stem,
            "tokens": self.tokens,
            "characters": self.characters,
            "bytes": self.bytes,
            "documents": self.documents,
            "file_bytes": self.path.stat().st_size,
            "checksum": checksum(self.path),
        }


def checksum(path: Path, blocks: int = 32, block_bytes: int = 2**20) -> int:
    """Return a CRC-32 of the file, or of `blocks` blocks spread over it if it is longer: a fast check."""
    size = path.stat().st_size
    crc = zlib.crc32(str(size).encode())
    with path.open("rb") as file:
        for block in range(blocks):
            file.seek(block * max(block_bytes, (size - block_bytes) // (blocks - 1)))
            crc = zlib.crc32(file.read(block_bytes), crc)
    return crc


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write meta.json, the last file, which makes a folder complete."""
    with (folder / "meta.json").open("w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, **meta}, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())


def open_splits(folder: Path) -> tuple[dict[str, Any], dict[str, Split]] | None:
    """Return the content of meta.json and the splits by name.

    None if the folder is absent, damaged or of another format.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            return None
        return meta, {entry["name"]: open_split(folder, entry) for entry in meta["splits"]}
    except (OSError, ValueError, KeyError, TypeError):  # whatever is wrong with the folder, it is prepared again
        return None


def open_split(folder: Path, entry: dict[str, Any]) -> Split:
    """Open one shard and read only a sample of it. Raises ValueError if it is damaged."""
    path = folder / f"{entry['name']}.npy"
    if path.stat().st_size != entry["file_bytes"] or checksum(path) != entry["checksum"]:
        raise ValueError(f"{path} is damaged")
    return Split(
        name=entry["name"],
        ids=np.lib.format.open_memmap(path, mode="r"),
        characters=entry["characters"],
        bytes=entry["bytes"],
        documents=entry["documents"],
    )


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`, to be filled in the block; if the block succeeds it is renamed.

    If another process was faster and its folder is complete, that one stays. A draft that failed is removed.
    Raises WriteFailed.
    """
    with telling_why(folder):
        remove_abandoned_drafts(folder.parent)
        draft = new_draft(folder)
    try:
        yield draft
        with telling_why(folder):
            publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def new_draft(folder: Path) -> Path:
    prefix = f"{folder.name}.{os.getpid()}-"  # by which `is_abandoned` knows whose it is
    return Path(tempfile.mkdtemp(prefix=prefix, suffix=".draft", dir=folder.parent))


def publish(draft: Path, folder: Path) -> None:
    """Rename the draft to its final name."""
    while True:
        try:
            draft.rename(folder)
            break
        except OSError:
            if not folder.exists():
                raise
        if open_splits(folder) is not None:
            return  # another process has written it meanwhile
        discard(folder)
    sync_folder(folder.parent)


def discard(folder: Path) -> None:
    """Remove a damaged folder: rename it at once, then delete its files."""
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    beside = new_draft(folder)
    try:
        folder.rename(beside / "damaged")
    except FileNotFoundError:
        pass  # another process was faster
    shutil.rmtree(beside)


def sync_folder(folder: Path) -> None:
    """Flush a rename in the folder to disk, where the system can do that, so that it survives a power cut."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_abandoned_drafts(parent: Path, after_seconds: float = 3600.0) -> None:
    """Remove drafts of killed processes. A process at work writes all the time, so its files are never old."""
    for draft in parent.glob("*.draft"):
        try:
            newest = max(path.stat().st_mtime for path in [draft, *draft.iterdir()])
            abandoned = is_abandoned(draft, after_seconds, newest)
        except FileNotFoundError:
            continue  # another process has finished it meanwhile
        if abandoned:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def telling_why(folder: Path, bytes_needed: int = 0) -> Iterator[None]:
    """Turn an OSError into WriteFailed with its cause.

    bytes_needed: about how much will be written, 0 if that is not known yet.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(folder, bytes_needed) from error
        raise WriteFailed(
            f"The ids of the text could not be written to {folder.parent}: {error.strerror or error}.",
            "Set HOMESPUN_CACHE to a folder that you may write to.",
        ) from error


def disk_full(folder: Path, bytes_needed: int) -> WriteFailed:
    """Return the error for a full disk.

    The space of the files in `folder` counts as free, as they will be removed.
    """
    written = sum(path.stat().st_size for path in folder.glob("*.npy"))
    free = shutil.disk_usage(folder.parent).free + written
    needed = f"the ids of this text take about {bytes_needed / 1e6:,.0f} MB, and " if bytes_needed else ""
    return WriteFailed(
        f"The disk of {folder.parent} is too full: {needed}{free / 1e6:,.0f} MB are free.",
        "Make room on it, or set HOMESPUN_CACHE to a folder on a larger disk.",
    )
