"""Prepare a dataset from a corpus and a tokenizer; once prepared, it is only opened from the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.dataset.pipeline import encode_in_order, end_between_documents, parts
from homespun.dataset.shards import (
    FORMAT,
    ShardWriter,
    Split,
    disk_full,
    draft_of,
    id_type,
    open_splits,
    telling_why,
    write_meta,
)
from homespun.dataset.splits import check_learnable, fit_context, plan_splits
from homespun.dataset.unused import mark_used, remove_unused
from homespun.errors import NotEnoughText, WriteFailed
from homespun.fetch.cache import cache_folder

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus
    from homespun.text.survey import Survey
    from homespun.tokenizer.tokenizer import Tokenizer

OnProgress = Callable[[int, int], None]  # characters done, characters in total


class InTwoSplits:
    """The training and the validation split, with their total counts."""

    train: Any
    val: Any

    @property
    def tokens(self) -> int:
        return self.train.tokens + self.val.tokens

    @property
    def characters(self) -> int:
        return self.train.characters + self.val.characters

    @property
    def bytes(self) -> int:
        """In UTF-8."""
        return self.train.bytes + self.val.bytes


@dataclass(frozen=True)
class Dataset(InTwoSplits):
    """A text as ids, in two splits.

    key: identifies the text and the tokenizer; datasets with equal keys are equal.
    vocab_size: ids are 0 … vocab_size-1.
    how: what was held out for validation, in words.
    already_there: it was prepared earlier and only had to be opened.
    """

    train: Split
    val: Split
    folder: Path
    key: str
    vocab_size: int
    how: str
    already_there: bool

    @property
    def characters_per_token(self) -> float:
        return self.characters / self.tokens

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens


def prepare(corpus: Corpus, tokenizer: Tokenizer, *, on_progress: OnProgress | None = None) -> Dataset:
    """Return the corpus as ids, split for training and validation; a second call finds it in the user's cache.

    If there are several documents, the tokenizer's end-of-text token follows each of them, and each half of a
    document that is cut.

    on_progress: called with the characters done and the total while ids are written.
    Raises NotEnoughText if there is nothing to learn from, UnknownCharacter if the tokenizer has no id for a
    character, TextUnreadable if the text changes meanwhile, and WriteFailed.
    """
    survey = corpus.survey()
    check_learnable(corpus.title, survey.characters, survey.alphabet)
    plan = plan_splits(survey.document_characters, survey.document_keys)
    key = key_of("train and val", survey.key, tokenizer.key)
    splits, folder, already_there = ids_of(
        corpus, survey, tokenizer, key=key, names=("train", "val"), cuts=plan.cuts, on_progress=on_progress
    )
    fit_context(
        splits["train"].tokens, splits["val"].tokens, 1, tokenizer=tokenizer.kind
    )  # refuses a split with nothing to predict
    return Dataset(
        train=splits["train"],
        val=splits["val"],
        folder=folder,
        key=key,
        vocab_size=tokenizer.vocab_size,
        how=plan.how,
        already_there=already_there,
    )


def reopen(text_key: str, tokenizer: Tokenizer) -> Dataset | None:
    """Return a dataset prepared earlier, by the key of its text's survey; None if the cache no longer has it.

    So the data of a run stays available even if the text itself has changed or cannot be read any more.
    """
    key = key_of("train and val", text_key, tokenizer.key)
    folder = cache_folder("datasets") / key
    opened = open_splits(folder)
    if opened is None:
        return None
    mark_used(folder)
    return Dataset(
        train=opened[1]["train"],
        val=opened[1]["val"],
        folder=folder,
        key=key,
        vocab_size=tokenizer.vocab_size,
        how="what was held out before",
        already_there=True,
    )


def prepare_text(corpus: Corpus, tokenizer: Tokenizer, *, on_progress: OnProgress | None = None) -> Split:
    """Return the whole corpus as one split, for evaluation; a second call finds it in the user's cache.

    Raises NotEnoughText if there is nothing to predict, and otherwise the errors of `prepare`.
    """
    survey = corpus.survey()
    key = key_of("whole", survey.key, tokenizer.key)
    splits, _, _ = ids_of(
        corpus,
        survey,
        tokenizer,
        key=key,
        names=("text",),
        cuts=survey.document_characters,
        on_progress=on_progress,
    )
    tokens = splits["text"].tokens
    if tokens < 2:
        raise NotEnoughText(
            f"{corpus.title} is too short to measure a model on: "
            f"{tokens} token{'' if tokens == 1 else 's'}, and it takes two, one to look at and one to predict.",
            "Give a longer text.",
        )
    return splits["text"]


def key_of(purpose: str, survey_key: str, tokenizer_key: str) -> str:
    """Return the name of a cache folder: it differs if the text, the tokenizer or the format differs."""
    return hashlib.sha256(json.dumps([FORMAT, purpose, survey_key, tokenizer_key]).encode()).hexdigest()[:32]


def ids_of(
    corpus: Corpus,
    survey: Survey,
    tokenizer: Tokenizer,
    *,
    key: str,
    names: Sequence[str],
    cuts: Sequence[int],
    on_progress: OnProgress | None,
) -> tuple[dict[str, Split], Path, bool]:
    """Return the splits by name, their folder, and whether the folder existed already."""
    folder = cache_folder("datasets") / key
    already_there = True
    for _ in range(3):  # another process that found the folder damaged may remove ours with it
        opened = open_splits(folder)
        if opened is not None:
            mark_used(folder)
            return opened[1], folder, already_there
        already_there = False
        remove_unused(folder.parent)
        with draft_of(folder) as draft:
            entries = write_splits(draft, corpus, survey, tokenizer, names, cuts, on_progress)
            meta = {
                "key": key,
                "text": corpus.title,
                "tokenizer": tokenizer.kind,
                "vocab_size": tokenizer.vocab_size,
                "splits": entries,
            }
            with telling_why(folder):
                write_meta(draft, meta)
    raise WriteFailed(
        f"{folder} was written three times, and each time it was damaged when it was read again.",
        "The disk may be failing. Set HOMESPUN_CACHE to a folder on another one.",
    )


def write_splits(
    draft: Path,
    corpus: Corpus,
    survey: Survey,
    tokenizer: Tokenizer,
    names: Sequence[str],
    cuts: Sequence[int],
    on_progress: OnProgress | None,
) -> list[dict[str, Any]]:
    """Encode the corpus into one shard for each name, and return their entries for meta.json."""
    dtype, end = id_type(tokenizer.vocab_size), end_between_documents(survey, tokenizer)
    with telling_why(draft):
        shards = [ShardWriter(draft / f"{name}.npy", dtype) for name in names]
    done = bytes_needed = 0
    try:
        for part in encode_in_order(parts(corpus, survey, cuts), tokenizer):
            with telling_why(draft, bytes_needed):
                shards[part.split].add(part, end)
            done += part.characters
            if not bytes_needed and done >= 2**20:  # enough to estimate the size of all ids
                written = sum(shard.tokens for shard in shards) * dtype.itemsize
                bytes_needed = written * survey.characters // done
                if bytes_needed - written > shutil.disk_usage(draft).free:
                    raise disk_full(draft, bytes_needed)
            if on_progress is not None:
                on_progress(done, survey.characters)
        with telling_why(draft, bytes_needed):
            return [shard.finish() for shard in shards]
    finally:
        for shard in shards:
            with telling_why(draft, bytes_needed):  # closing the file flushes its buffer
                shard.file.close()
