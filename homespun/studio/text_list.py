"""Texts that can be chosen: the named corpora, and what lies in a folder below the studio's."""

from __future__ import annotations

import os
from pathlib import Path

from homespun.server.errors import ApiError
from homespun.studio.places import existing_below, name_below
from homespun.studio.run_summary import PLAN
from homespun.studio.schema.texts import Corpora, FolderEntry, Listing, NamedCorpus

MOST_LISTED = 1000


def corpora_here() -> Corpora:
    from homespun.text.named import named_corpora

    found = []
    for corpus in named_corpora():
        available = corpus.available()
        named = {name: getattr(corpus, name) for name in ("name", "title", "about", "size", "licence")}
        found.append(NamedCorpus(**named, available=available, is_here=available.startswith("here")))
    return Corpora(corpora=found)


def listing_of(folder: Path, path: str) -> Listing:
    """What is hidden is not listed, nor what a link leads out of the folder to. Raises ApiError."""
    place = existing_below(folder, path) if path else folder
    if not place.is_dir():
        raise ApiError(f"{path[:200]!r} is a file.", "List the folder that it is in.", param="path")
    found = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and (one := as_entry(folder, entry)) is not None:
                    found.append(one)
                if len(found) > 4 * MOST_LISTED:
                    break
    except OSError as error:
        raise ApiError(f"{path[:200]!r} cannot be read: {error.strerror}.", param="path", status=403) from error
    found.sort(key=lambda one: (not one.is_folder, one.name.casefold()))
    own = name_below(folder, place) or ""
    parent = None if place == folder else (name_below(folder, place.parent) or "").removeprefix(".")
    return Listing(
        path="" if own == "." else own,
        parent=parent,
        entries=found[:MOST_LISTED],
        cut=len(found) > MOST_LISTED,
    )


def as_entry(folder: Path, entry: os.DirEntry[str]) -> FolderEntry | None:
    try:
        place = Path(entry.path)
        if entry.is_symlink() and not place.resolve().is_relative_to(folder):
            return None
        found, is_folder = entry.stat(), entry.is_dir()
        name = name_below(folder, place)
    except OSError:
        return None
    if name is None or not (is_folder or entry.is_file()):
        return None
    return FolderEntry(
        name=entry.name,
        path=name,
        is_folder=is_folder,
        is_run=is_folder and (place / PLAN).is_file(),
        bytes=None if is_folder else found.st_size,
        changed=found.st_mtime,
    )
