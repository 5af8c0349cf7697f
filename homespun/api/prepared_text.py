"""A text that is ready to be trained on: its dataset and its tokenizer. One in shards is opened by its place."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.errors import TextNotFound, UsageError

if TYPE_CHECKING:
    from homespun.dataset.preparation import Dataset
    from homespun.dataset.sharded import Place
    from homespun.text.corpus import Corpus
    from homespun.tokenizer.tokenizer import Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")  # in the order in which they are written


@dataclass(frozen=True)
class PreparedText:
    """
    spec      of the tokenizer, as a plan names it: its kind, or a path
    title     of the text, for people; name: fit for a folder
    text_key  of the text's survey
    corpus    what was read; None for a dataset in shards, which needs no text any more
    """

    spec: str
    title: str
    name: str
    tokenizer: Tokenizer
    dataset: Dataset
    text_key: str
    corpus: Corpus | None = None


def open_prepared(text: str) -> PreparedText:
    """The dataset at that place: a folder that `prepare` has made, or its copy behind an address of fsspec.

    Raises TextNotFound, TextUnreadable, TokenizerError, MissingExtra.
    """
    from homespun.dataset.sharded import Folder, open_sharded, place_of
    from homespun.tokenizer.open import load

    place = place_of(text)
    dataset, meta = open_sharded(text)
    tokenizer = load(place.root if isinstance(place, Folder) else tokenizer_from(place, text))
    title, name, key = (str(meta[part]) for part in ("text", "name", "text_key"))
    return PreparedText(meta["tokenizer"], title, name, tokenizer, dataset, key)


def tokenizer_from(place: Place, address: str) -> Path:
    """A folder of the cache with the tokenizer that lies beside remote shards."""
    from homespun.fetch.cache import cache_folder
    from homespun.machine.atomic import write_atomically

    try:
        files = {name: place.text(name) for name in TOKENIZER_FILES}
    except OSError as error:
        raise TextNotFound(
            f"The dataset at {address} has no tokenizer: {error}.", "Copy the whole prepared folder there."
        ) from error
    key = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:32]
    folder = cache_folder("tokenizers", key)
    for name, content in files.items():
        write_atomically(folder / name, content)
    return folder


def prepared_text(text: Sequence[str | Path]) -> PreparedText | None:
    """The dataset in shards, if that is what the text names; None for any other text."""
    from homespun.dataset.sharded import is_prepared

    prepared = [str(one) for one in text if is_prepared(str(one))]
    if not prepared:
        return None
    if len(text) > 1:
        raise UsageError(
            f"{prepared[0]} is a prepared dataset, and it was given with other texts.",
            "Give it alone; or prepare all texts together.",
        )
    return open_prepared(prepared[0])
