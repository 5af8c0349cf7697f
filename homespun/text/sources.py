"""TEXT arguments: a path, a pattern, an address, `-`, or the name of a named corpus.

A name of `homespun data list` wins over a file or folder that happens to be
called the same; that one is written with its path, as in `./python`.
"""

from __future__ import annotations

import atexit
import difflib
import glob
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from homespun.errors import TextNotFound
from homespun.fetch import Download, cache_folder, retrieve, without_password, written_whole
from homespun.text.corpus import Corpus, FileSource, FolderSource, Source
from homespun.text.formats import READERS, Request
from homespun.text.named import named_corpora, open_named

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


def read(*sources: str | Path, field: str | None = None) -> Corpus:
    """The corpus of one or several TEXT arguments; nothing but names is looked at before it is used.

    `field` names the field (JSON) or column (tables) that holds the text; without it that is `text`.
    Raises TextNotFound, DownloadFailed, and what the corpus raises when it is read.
    """
    if not sources:
        raise TextNotFound(
            "No text was given.", "Give a file, a folder, an address, - or a name of homespun data list."
        )
    found: list[tuple[str, str, list[Source]]] = []
    for source in dict.fromkeys(str(source) for source in sources):
        found.append(_resolved(source))
    names, titles = [name for name, _, _ in found], [title for _, title, _ in found]
    every = [source for _, _, several in found for source in several]
    name = names[0] if len(names) == 1 else f"{names[0]}-and-{len(names) - 1}-more"
    shown = ", ".join(titles[:3]) + (f" and {len(titles) - 3} more" if len(titles) > 3 else "")
    return Corpus(name, shown, every, Request(field))


def _resolved(source: str) -> tuple[str, str, list[Source]]:
    """(name, title, sources) of one argument."""
    if source == "-":
        return "stdin", "standard input", [_spooled(sys.stdin.buffer, "standard input")]
    if source in {corpus.name for corpus in named_corpora()}:
        corpus = open_named(source)
        return corpus.name, corpus.title, list(corpus.sources)
    if re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE):
        file = _from_web(source)
        return folder_name(file.name), file.shown, [file]
    path = Path(source).expanduser()
    if not source.strip() or not _exists(path):
        return folder_name(source), source, list(_matching(source))
    return folder_name(path.resolve().name or "root"), source, [_from_path(path, source)]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False  # too long for a name, or no name at all: someone gave the text itself


def _from_path(path: Path, shown: str) -> Source:
    if path.is_dir():
        return FolderSource(path, shown)
    if path.is_file():
        return FileSource(path, shown, path.name)
    with path.open("rb") as pipe:  # what `<(command)` gives
        return _spooled(pipe, shown)


def _matching(pattern: str) -> Iterator[Source]:
    """What a pattern such as `letters/*.txt` stands for: the files, or where there are none the folders."""
    names = glob.glob(str(Path(pattern).expanduser()), recursive=True)  # noqa: PTH207 (takes any pattern)
    paths = [Path(name) for name in sorted(names) if pattern.strip()]
    chosen = [path for path in paths if path.is_file()] or paths
    if not chosen:
        raise _not_found(pattern)
    for path in chosen:
        yield _from_path(path, str(path))


def _not_found(source: str) -> TextNotFound:
    if not source.strip():
        return TextNotFound("The name of the text is empty.", "Give a file, a folder, an address or a name.")
    if len(source) > 200 or "\n" in source:
        return TextNotFound(
            f"No file is called {source[:60]!r}….",
            "Give the path of a file, not the text; or pipe it in:  … | homespun train -",
        )
    if glob.has_magic(source):
        return TextNotFound(f"No file matches {source}.", "Check the pattern; ** stands for any folders.")
    path = Path(source).expanduser()
    names = [corpus.name for corpus in named_corpora()]
    if path.parent != Path() and not path.parent.is_dir():
        return TextNotFound(f"There is no {source}: the folder {path.parent} does not exist.", "Check the path.")
    near = _near(path, names)
    todo = f"Did you mean {' or '.join(near)}?" if near else f"Named corpora are {', '.join(names)}."
    return TextNotFound(f"No file, folder or named corpus is called {source}.", todo)


def _near(path: Path, names: list[str]) -> list[str]:
    """Names in the same folder and named corpora that look like it."""
    try:
        here = [file.name for file in path.parent.iterdir()]
    except OSError:
        here = []
    by_small = {name.lower(): name for name in [*names, *sorted(here)]}
    stems = {Path(name).stem.lower(): name for name in sorted(here)}
    wanted = path.name.lower()
    close = [by_small[near] for near in difflib.get_close_matches(wanted, by_small, n=3, cutoff=0.7)]
    same_stem = [stems[Path(wanted).stem]] if Path(wanted).stem in stems else []
    found = list(dict.fromkeys([*same_stem, *close]))[:3]
    return [name if name in names else str(path.parent / name) for name in found]


def _spooled(stream, shown: str) -> FileSource:
    """What comes through a pipe, put into a file for the time of this run, since it is read more than once."""
    path = cache_folder("pipes") / f"{os.getpid()}-{os.urandom(4).hex()}"
    atexit.register(path.unlink, missing_ok=True)
    with written_whole(path) as file:
        while block := stream.read(2**20):
            file.write(block)
    return FileSource(path, shown, "stdin", lasting=False)


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
