"""TEXT arguments: a path, a pattern, an address, `-`, or the name of a named corpus.

A name of `homespun data list` wins over a file or folder that happens to be
called the same; that one is written with its path, as in `./python`.
"""

from __future__ import annotations

import atexit
import difflib
import errno
import glob
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from homespun.errors import TextNotFound, TextUnreadable
from homespun.fetch.web import Download, retrieve, without_password
from homespun.text.blob import explained_errors
from homespun.text.corpus import Corpus, FileSource, FolderSource, Source
from homespun.text.document import whole_characters
from homespun.text.folder import has
from homespun.text.formats import READERS, Request
from homespun.text.named import named_corpora, open_named
from homespun.text.notes import Tally
from homespun.text.older import named_encoding
from homespun.text.spool import spooled

_CONTENT_TYPES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "application/epub+zip": ".epub",
    "application/gzip": ".gz",
    "application/x-gzip": ".gz",
    "application/zip": ".zip",
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.apache.parquet": ".parquet",
}


def read(*sources: str | Path, field: str | None = None, encoding: str | None = None) -> Corpus:
    """The corpus of one or several TEXT arguments; nothing but names is looked at before it is used.

    `field` names the field (JSON) or column (tables) that holds the text; without it that is found by its
    name, or by
    the longest values. `encoding` names that of files which are no UTF-8; without it that is guessed.
    Raises UsageError for an encoding that there is not, TextNotFound, DownloadFailed, and what the corpus
    raises when it is read.
    """
    if not sources:
        raise TextNotFound(
            "No text was given.", "Give a file, a folder, an address, - or a name of homespun data list."
        )
    found: list[tuple[str, str, list[Source]]] = []
    given, tally = [str(source) for source in sources], Tally()
    for number, source in enumerate(given):
        if source in given[:number]:
            tally.add("twice", source)
        else:
            found.append(_resolved(source))
    names, titles = [name for name, _, _ in found], [title for _, title, _ in found]
    every = [source for _, _, several in found for source in several]
    name = names[0] if len(names) == 1 else f"{names[0]}-and-{len(names) - 1}-more"
    shown = ", ".join(titles[:3]) + (f" and {len(titles) - 3} more" if len(titles) > 3 else "")
    request = Request(field, named_encoding(encoding) if encoding else None)
    return Corpus(name, shown, every, request, said=tally.lines())


def _resolved(source: str) -> tuple[str, str, list[Source]]:
    """(name, title, sources) of one argument."""
    if source == "-":
        path = _kept_for_this_run(sys.stdin.buffer, "standard input")
        return "stdin", "standard input", [FileSource(path, "standard input", "stdin", lasting=False)]
    if source in {corpus.name for corpus in named_corpora()}:
        corpus = open_named(source)
        return corpus.name, corpus.title, list(corpus.sources)
    if re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE):
        file = _from_web(source)
        return folder_name(file.name), file.shown, [file]
    path, shown = Path(source).expanduser(), whole_characters(source)  # a file's name may be no text at all
    if not source.strip() or not _exists(path, shown):
        return folder_name(shown), shown, list(_matching(source))
    name = whole_characters(path.resolve().name)
    return folder_name(name or "root"), shown, [_from_path(path, shown)]


def _exists(path: Path, shown: str) -> bool:
    """Raises TextUnreadable where something is there, but cannot even be looked at."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        refuse_dead_link(path)
        return False
    except ValueError:
        return False  # a NUL in it, someone gave the text itself
    except PermissionError as error:
        raise TextUnreadable(
            f"{shown} cannot be looked at: you have no permission for a folder on the way to it.",
            "Change its permissions (chmod u+rx FOLDER), or work on a copy of your own.",
        ) from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            return False  # too long for a name
        raise TextUnreadable(
            f"{shown} is a symbolic link that leads in a circle.",
            "Give the file or folder that it should lead to.",
        ) from error
    return True


def refuse_dead_link(path: Path) -> None:
    """Raises TextNotFound where the path, or a folder on the way to it, is a link that points to nothing."""
    for place in (path, *path.parents):
        if place.is_symlink() and not has(place.parent, place.name):
            target, end = str(place.readlink()), os.path.realpath(place)
            where = target if target == end else f"{target} ({end})"
            raise TextNotFound(
                f"{whole_characters(str(place))} is a symbolic link, and what it points to is not there: "
                f"{whole_characters(where)}.",
                "Put that back, or give the file or folder that is meant.",
            )


def _from_path(path: Path, shown: str) -> Source:
    if path.is_dir():
        return FolderSource(path, shown)
    facts, name = path.stat(), whole_characters(path.name)
    if stat.S_ISREG(facts.st_mode) and facts.st_size:
        return FileSource(path, shown, name)
    return FileSource(_spool_of(path, shown, facts.st_mode), shown, name, lasting=False)


def _spool_of(path: Path, shown: str, mode: int) -> Path:
    """What a pipe gives, such as `<(command)`; or a file that tells no size, as those of /proc do.

    Such a file may make its reader wait for ever, so it is asked not to.
    """
    with explained_errors(shown), os.fdopen(os.open(path, os.O_RDONLY | _how_to_open(mode)), "rb") as file:
        if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not file.isatty()):
            raise TextUnreadable(f"{shown} is a device, not a text.", "Give a file, a folder or a pipe.")
        return _kept_for_this_run(file, shown)


def _how_to_open(mode: int) -> int:
    return getattr(os, "O_BINARY", 0) | (getattr(os, "O_NONBLOCK", 0) if stat.S_ISREG(mode) else 0)


def _matching(pattern: str) -> Iterator[Source]:
    """What a pattern such as `letters/*.txt` stands for: the files, or where there are none the folders."""
    paths = [Path(name) for name in sorted(set(_names_like(pattern)))] if pattern.strip() else []
    chosen = [path for path in paths if path.is_file()] or [path for path in paths if path.is_dir()]
    if not chosen:
        for path in paths:
            refuse_dead_link(path)
        raise _not_found(pattern)
    for path in chosen:
        yield _from_path(path, whole_characters(str(path)))


def _names_like(pattern: str) -> list[str]:
    """As `glob` finds them, but `**` does not follow symbolic links: those lead in circles."""
    path = Path(pattern).expanduser()
    found = [path.anchor]
    for number, part in enumerate(path.parts[bool(path.anchor) :], start=1 + bool(path.anchor)):
        if part == "**":
            found = [below for folder in found for below in _folders_from(folder)]
            part = "*" if number == len(path.parts) else ""
        if part:
            beginnings = [glob.escape(folder) for folder in found]
            found = [name for beginning in beginnings for name in glob.glob(os.path.join(beginning, part))]  # noqa: PTH118, PTH207 (an empty beginning is to stay empty)
    return found if glob.has_magic(pattern) else []


def _folders_from(folder: str) -> Iterator[str]:
    """The folder itself and all below it that are not hidden."""
    for here, below, _ in os.walk(folder or os.curdir):
        below[:] = [name for name in below if not name.startswith(".")]
        yield os.path.relpath(here) if not folder else here


def _not_found(source: str) -> TextNotFound:
    source = whole_characters(source)
    if not source.strip():
        return TextNotFound("The name of the text is empty.", "Give a file, a folder, an address or a name.")
    if len(source) > 200 or "\n" in source:
        return TextNotFound(
            f"No file is called {source[:60]!r}….",
            "Give the path of a file, not the text; or pipe it in:  … | homespun train -",
        )
    if glob.has_magic(source):
        hint = "" if "**" in source else "; ** stands for any folders"
        return TextNotFound(f"No file matches {source}.", f"Check the pattern{hint}.")
    path = Path(source).expanduser()
    names = [corpus.name for corpus in named_corpora()]
    if path.parent != Path() and not path.parent.is_dir():
        folder = f"the folder {path.parent}"
        what = "does not exist"
        if path.parent.is_file():
            folder, what = str(path.parent), "is a file"
        return TextNotFound(f"There is no {source}: {folder} {what}.", "Check the path.")
    near = _near(path, names)
    todo = f"Did you mean {' or '.join(near)}?" if near else f"Named corpora are {', '.join(names)}."
    return TextNotFound(f"No file, folder or named corpus is called {source}.", todo)


def _near(path: Path, names: list[str]) -> list[str]:
    """Names in the same folder and named corpora that look like it."""
    try:
        here = [file.name for file in path.parent.iterdir() if has(path.parent, file.name)]
    except OSError:
        here = []
    by_small = {name.lower(): name for name in [*names, *sorted(here)]}
    stems = {Path(name).stem.lower(): name for name in sorted(here)}
    wanted = path.name.lower()
    close = [by_small[near] for near in difflib.get_close_matches(wanted, by_small, n=3, cutoff=0.7)]
    same_stem = [stems[Path(wanted).stem]] if Path(wanted).stem in stems else []
    found = list(dict.fromkeys([*same_stem, *close]))[:3]
    return [name if name in names else str(path.parent / name) for name in found]


def _kept_for_this_run(stream: BinaryIO, shown: str) -> Path:
    """What comes through a pipe, put into a file, since it is read more than once."""
    path = spooled(stream, shown)
    atexit.register(path.unlink, missing_ok=True)
    return path


def _from_web(url: str) -> FileSource:
    got = retrieve(url)
    last = unquote(PurePosixPath(urlsplit(got.url).path).name) or urlsplit(url).hostname or "page"
    said = ""
    if got.trouble:
        said = f"the copy of an earlier download is used: {got.trouble}"
    return FileSource(got.path, without_password(url), _with_suffix(last, got), said=said)


def _with_suffix(name: str, got: Download) -> str:
    """The name with the suffix of what really came: a server's word counts more than the address."""
    kind = _CONTENT_TYPES.get(got.content_type.partition(";")[0].strip().lower(), "")
    suffix = PurePosixPath(name).suffix.lower()
    if kind == ".html":
        with got.path.open("rb") as file:
            is_page = file.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        return name if suffix in (".html", ".htm", ".xhtml") or not is_page else name + ".html"
    return name if suffix in READERS or not kind or suffix in (".txt", ".md") else name + kind


def folder_name(source: str) -> str:
    """A short name, fit for a folder.

    >>> folder_name("My Notes (2024).txt"), folder_name("data/chat.jsonl.gz"), folder_name("*.md")
    ('my-notes-2024', 'chat', 'text')
    """
    name = re.split(r"[\\/]", source.rstrip("/\\"))[-1]
    while (suffix := PurePosixPath(name).suffix.lower()) and re.fullmatch(r"\.[a-z]\w{0,7}", suffix):
        name = name[: -len(suffix)]
    return re.sub(r"[\W_]+", "-", name.lower()).strip("-")[:40].rstrip("-") or "text"
