"""Texts that a page has sent: kept in the cache, under names that were cleaned, and never executed."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from homespun.errors import WriteFailed
from homespun.fetch.cache import cache_folder, written_whole
from homespun.server.errors import ApiError
from homespun.studio.schema.texts import Uploaded

MOST_BYTES = 2**30  # of one upload, all files together
MOST_FILES = 5000
LONGEST_NAME = 120  # bytes
DEEPEST = 8


class Uploads:
    """most_bytes: of all files of an upload."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.folder = cache_folder("studio", "uploads")

    def place(self, upload: str) -> Path:
        """The text of an upload: its file, or the folder with all of them. Raises ApiError."""
        folder = self.folder_of(upload)
        files = list(files_in(folder))
        if len(files) == 1:
            return folder / files[0]
        tops = {PurePosixPath(file).parts[0] for file in files}
        return folder / tops.pop() if len(tops) == 1 else folder  # a folder that was dropped keeps its name

    def name(self, upload: str) -> str:
        """What the text may be called. Raises ApiError."""
        place = self.place(upload)
        return "files" if place.name == upload else place.stem

    def folder_of(self, upload: str) -> Path:
        folder = self.folder / upload
        if not re.fullmatch("[0-9a-f]{16}", upload) or not folder.is_dir():
            raise ApiError(
                "That upload is not there any more.",
                "The cache may have been emptied: send the file again.",
                status=404,
                param="upload",
                code="upload_not_found",
            )
        return folder

    async def take(self, name: str, folder: str, upload: str | None, body: AsyncIterator[bytes]) -> Uploaded:
        """Writes a file as it comes, whole or not at all. Raises ApiError, WriteFailed."""
        target = self.folder_of(upload) if upload is not None else None
        parts = [cleaned(part) for part in folder.replace("\\", "/").split("/") if part not in ("", ".")]
        if len(parts) > DEEPEST:
            raise ApiError(f"{folder[:200]!r} is too deep a folder.", "Send the files of it.", param="folder")
        there = files_in(target) if target is not None else {}
        if len(there) >= MOST_FILES:
            raise ApiError(
                f"One upload has at most {MOST_FILES:,} files.",
                "Put the files into the studio's folder and choose them there.",
                status=413,
            )
        room = self.most_bytes - sum(there.values())
        if target is None:
            upload = os.urandom(8).hex()
            target = self.folder / upload
            target.mkdir()
        try:
            await self.write(target.joinpath(*parts, cleaned(name)), body, room)
        except BaseException:
            if not files_in(target):
                shutil.rmtree(target, ignore_errors=True)
            raise
        found = files_in(target)
        return Uploaded(upload=upload or target.name, files=sorted(found), bytes=sum(found.values()))

    async def write(self, path: Path, body: AsyncIterator[bytes], room: int) -> None:
        """room: bytes that it may have."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteFailed(
                f"{path.parent} cannot be made: {error.strerror}.", "Send the files anew."
            ) from error
        with written_whole(path) as file:
            async for block in body:
                room -= len(block)
                if room < 0:
                    raise self.too_large()
                file.write(block)

    def too_large(self) -> ApiError:
        return ApiError(
            f"An upload has at most {self.most_bytes:,} bytes.",
            "Put the file into the studio's folder and choose it there: that has no limit.",
            status=413,
            code="body_too_large",
            headers={"connection": "close"},
        )


def files_in(folder: Path) -> dict[str, int]:
    """The files of an upload and their bytes; not what is still being written."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".part"))
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def cleaned(name: str) -> str:
    """A name that is one, and no more: no folder, no control character, nothing hidden, not too long.

    >>> cleaned("../../etc/passwd"), cleaned("letters 1987.txt"), cleaned("..."), cleaned(".bashrc")
    ('passwd', 'letters 1987.txt', 'text', 'bashrc')
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    safe = "".join("_" if unicodedata.category(c)[0] == "C" or c in '<>:"|?*' else c for c in last).strip(" .")
    stem, dot, suffix = safe.rpartition(".")
    if len(safe.encode()) > LONGEST_NAME:
        short = (stem or safe).encode()[: LONGEST_NAME - 20].decode("utf-8", "ignore")
        safe = f"{short}{dot}{suffix[:16]}" if stem else short
    return safe or "text"
