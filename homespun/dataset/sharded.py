"""A dataset in many shards, in a folder or behind an address such as s3://bucket/folder: opened, and read.

Nothing of the text is in memory but the shards that are in use. Shards that lie elsewhere come into the user's
cache when they are needed, each by the hash of its content; the cache has a limit, and what was used longest ago
goes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from homespun.dataset.preparation import Dataset
from homespun.dataset.shards import FORMAT, Split
from homespun.errors import MissingExtra, TextNotFound, TextUnreadable
from homespun.fetch.cache import cache_folder, written_whole

META = "meta.json"
CACHE_BYTES = 20 * 10**9  # of shards that came from elsewhere
MOST_OPEN = 64  # shards that are mapped at once
BLOCK = 2**22


@dataclass(frozen=True)
class Shard:
    """One file of a split: its name, its tokens, its size in bytes, and the SHA-256 of its content."""

    file: str
    tokens: int
    file_bytes: int
    sha256: str


class Place(Protocol):
    """Where shards lie."""

    def text(self, name: str) -> str:
        """The content of a small file. FileNotFoundError where there is none."""
        ...

    def path_of(self, shard: Shard) -> Path:
        """The shard as a local file; waits for it to come from elsewhere."""
        ...


class Folder:
    """A local folder. A shard is believed by its size: reading all of it would take as long as training on it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def path_of(self, shard: Shard) -> Path:
        path = self.root / shard.file
        try:
            size = path.stat().st_size
        except OSError as error:
            raise missing(f"{path}", error) from error
        if size != shard.file_bytes:
            raise TextUnreadable(
                f"{path} has {size:,} bytes, and should have {shard.file_bytes:,}.",
                "Remove it and prepare the text again: only what is missing is made.",
            )
        return path


class Remote:
    """A folder behind an fsspec address, with shards in the user's cache, at most `limit` bytes of them."""

    def __init__(self, address: str, limit: int = CACHE_BYTES) -> None:
        try:
            import fsspec.core

            self.files, self.root = fsspec.core.url_to_fs(address)
        except ImportError as error:  # fsspec itself, or what it needs for this kind of address
            raise MissingExtra(f"a dataset at {address}", "remote") from error
        except ValueError as error:
            raise TextNotFound(f"{address} is no address of a dataset: {error}.", ADDRESSES) from error
        self.address = address
        self.limit = limit

    def text(self, name: str) -> str:
        found: bytes = self.files.cat_file(f"{self.root}/{name}")
        return found.decode("utf-8")

    def path_of(self, shard: Shard) -> Path:
        path = cache_folder("shards") / f"{shard.sha256}.npy"
        if path.exists():
            with suppress(OSError):
                os.utime(path)  # used now
            return path
        self.make_room(path.parent, shard.file_bytes)
        where = f"{self.address.rstrip('/')}/{shard.file}"
        digest = hashlib.sha256()
        with written_whole(path) as file:
            try:
                with self.files.open(f"{self.root}/{shard.file}", "rb") as source:
                    while block := source.read(BLOCK):
                        digest.update(block)
                        file.write(block)
            except OSError as error:
                raise missing(where, error) from error
            if digest.hexdigest() != shard.sha256:
                raise TextUnreadable(
                    f"{where} is damaged, or not the shard that meta.json speaks of.",
                    "Copy the dataset there again.",
                )
        return path

    def make_room(self, folder: Path, size: int) -> None:
        """Remove what was used longest ago. Who has mapped a file keeps it; where that is locked, it stays."""
        kept = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*.npy"))
        total = sum(size for _, size, _ in kept)
        for _, freed, path in kept:
            if total + size <= self.limit:
                return
            with suppress(OSError):
                path.unlink()
                total -= freed


ADDRESSES = "A prepared dataset is a folder, or an address such as s3://bucket/folder, gs://… or hf://datasets/…"


def missing(where: str, error: OSError) -> TextUnreadable:
    return TextUnreadable(
        f"The shard {where} cannot be read: {error.strerror or error}.",
        "Check that it is there and that you may read it, then run the same command again.",
    )


class ShardedIds:
    """The ids of a split, shard after shard, as an array (N,) that is read where it is asked for.

    Answers len, slices and arrays of positions, as a memory-mapped array does; never all at once.
    """

    def __init__(self, place: Place, shards: Sequence[Shard], dtype: np.dtype) -> None:
        self.place = place
        self.shards = list(shards)
        self.dtype = dtype
        self.lengths = np.array([shard.tokens for shard in self.shards], dtype=np.int64)
        self.ends = np.cumsum(self.lengths)
        self.open: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def nbytes(self) -> int:
        return len(self) * self.dtype.itemsize

    def shard(self, number: int) -> np.ndarray:
        """The ids of one shard, memory-mapped. Raises TextUnreadable."""
        found = self.open.pop(number, None)
        if found is None:
            path = self.place.path_of(self.shards[number])
            found = np.lib.format.open_memmap(path, mode="r")
            if len(found) != self.lengths[number] or found.dtype != self.dtype:
                raise TextUnreadable(
                    f"{path} is not the shard that meta.json speaks of.", "Prepare the text again."
                )
            while len(self.open) >= MOST_OPEN:
                self.open.popitem(last=False)
        self.open[number] = found
        return found

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            begin, end, step = at.indices(len(self))
            assert step == 1, "a split is read forward"
            return self.between(begin, end)
        positions = np.asarray(at, dtype=np.int64)
        numbers = np.searchsorted(self.ends, positions, side="right")
        found = np.empty(positions.shape, self.dtype)
        for number in np.unique(numbers):
            here = numbers == number
            found[here] = self.shard(int(number))[positions[here] - (self.ends[number] - self.lengths[number])]
        return found if found.shape else found[()]

    def between(self, begin: int, end: int) -> np.ndarray:
        """A copy of the ids from `begin` to `end`."""
        parts = [np.empty(0, self.dtype)]
        first = int(np.searchsorted(self.ends, begin, side="right"))
        for number in range(first, len(self.shards)):
            offset = int(self.ends[number] - self.lengths[number])
            if offset >= end:
                break
            parts.append(self.shard(number)[max(0, begin - offset) : end - offset])
        return np.concatenate(parts)


def is_prepared(text: str) -> bool:
    """Whether that names a prepared dataset: a folder of shards, or an address that is not one of the web."""
    scheme, separator, _ = text.partition("://")
    if separator:
        return scheme.lower() not in ("http", "https", "ftp")
    try:
        meta = Path(text).expanduser() / META
        return meta.is_file() and '"shards"' in meta.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def place_of(text: str) -> Place:
    return Remote(text) if "://" in text else Folder(Path(text).expanduser())


def open_sharded(text: str) -> tuple[Dataset, dict[str, Any]]:
    """The dataset at that place, and the content of its meta.json.

    Raises TextNotFound, TextUnreadable, MissingExtra.
    """
    place = place_of(text)
    try:
        meta = json.loads(place.text(META))
    except (OSError, ValueError) as error:
        raise TextNotFound(
            f"There is no prepared dataset at {text}: its {META} cannot be read ({error}).",
            f"{ADDRESSES} It is made by:  homespun data prepare TEXT --out FOLDER",
        ) from error
    if meta.get("format") != FORMAT or "splits" not in meta:
        raise TextUnreadable(
            f"The dataset at {text} is of format {meta.get('format')!r}, and this version reads {FORMAT}.",
            "Prepare the text again with this version.",
        )
    splits = {split["name"]: split_of(place, split, np.dtype(meta["dtype"])) for split in meta["splits"]}
    dataset = Dataset(
        train=splits["train"],
        val=splits["val"],
        folder=place.root if isinstance(place, Folder) else cache_folder("shards"),
        key=meta["key"],
        vocab_size=meta["vocab_size"],
        how=meta["how"],
        already_there=True,
    )
    return dataset, meta


def split_of(place: Place, entry: dict[str, Any], dtype: np.dtype) -> Split:
    shards = [Shard(**shard) for shard in entry["shards"]]
    ids = cast(np.ndarray, ShardedIds(place, shards, dtype))  # answers what a split is asked for
    return Split(entry["name"], ids, entry["characters"], entry["bytes"], entry["documents"])
