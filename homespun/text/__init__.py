"""Any text, from anywhere, as documents: files, folders, repositories, archives, tables, books, pages, names.

>>> import pathlib, tempfile
>>> from homespun.text import read
>>> path = pathlib.Path(tempfile.mkdtemp(), "book.txt")
>>> _ = path.write_text("Once upon a time.")
>>> corpus = read(path)
>>> corpus.name, corpus.survey().characters, [document.read() for document in corpus.documents()]
('book', 17, ['Once upon a time.'])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus
    from homespun.text.description import Description, describe
    from homespun.text.document import Document
    from homespun.text.named import NamedCorpus, default_corpus, named_corpora
    from homespun.text.sources import read
    from homespun.text.survey import Survey

__all__ = [
    "Corpus",
    "Description",
    "Document",
    "NamedCorpus",
    "Survey",
    "default_corpus",
    "describe",
    "named_corpora",
    "read",
]

_HOMES = {
    "Corpus": "corpus",
    "Description": "description",
    "Document": "document",
    "NamedCorpus": "named",
    "Survey": "survey",
    "default_corpus": "named",
    "describe": "description",
    "named_corpora": "named",
    "read": "sources",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
