"""Conversations as ids on disk, in the cache: encoded once for a text and a tokenizer, and then only opened.

The files also hold where each example ends, and which tokens are answers. Cutting and splitting happen later:
they take no time, and depend on the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from homespun.conversations.conversation import Conversation
from homespun.conversations.fitting import Fitter
from homespun.conversations.recognise import Found, describe_left_out, measured
from homespun.conversations.rendering import Answer, Example
from homespun.dataset.preparation import key_of
from homespun.dataset.shards import ShardWriter, draft_of, id_type, open_splits, telling_why, write_meta
from homespun.dataset.unused import mark_used, remove_unused
from homespun.errors import NotEnoughText, TextUnreadable, WriteFailed
from homespun.fetch.cache import cache_folder
from homespun.tokenizer.chat_template import chat_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from homespun.text.document import Document
    from homespun.tokenizer.tokenizer import Tokenizer

    OnProgress = Callable[[int, int], None]  # characters done, characters in total

FORMAT = 2  # of what is written here
LONGEST = 1024  # tokens of an example, where the run does not say less: rows of conversations are not longer
BUNDLE_CHARACTERS = 2**19  # encoded at once: the library's result takes about 200 bytes per token


@dataclass(frozen=True)
class Encoded:
    """Examples as ids: one or several per conversation, one per text.

    ids: (N,), all of them one after another, memory-mapped. ends: (n,) int64, where each example ends.
    answers: (k, 4) int64, in order: start and end (exclusive) of the target tokens, and their characters and
    bytes.
    entries: (n,) int64, the entry of `found` that an example belongs to.
    whole: (n,) bool, whether it is a text; all its tokens are targets, and it may be cut anywhere.
    left_out: why a conversation was skipped here -> how many were, and the first one.
    """

    found: Found
    key: str
    vocab_size: int
    ids: np.ndarray
    ends: np.ndarray
    answers: np.ndarray
    entries: np.ndarray
    whole: np.ndarray
    left_out: dict[str, tuple[int, str]]
    changed: dict[str, tuple[int, str]]

    @cached_property
    def starts(self) -> np.ndarray:
        """(n,) int64, where each example begins."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64: the number of tokens of each example."""
        return self.ends - self.starts


def encode_conversations(
    found: Found, tokenizer: Tokenizer, *, longest: int = LONGEST, on_progress: OnProgress | None = None
) -> Encoded:
    """Return the examples of the conversations found; a second call finds them in the user's cache.

    tokenizer: must have a chat template (see tokenizer/chat_marks). longest: tokens of an example; a conversation
    of more becomes several, as far as it can be divided between a question and an answer.
    Raises NotEnoughText if the template can render none of them, TextUnreadable if the text has changed since it
    was recognised, WriteFailed, and the errors of the tokenizer.
    """
    chat = chat_tokenizer(tokenizer)
    assert chat is not None, "with_chat_template gives one to every tokenizer"
    decisive = (FORMAT, longest, chat.template.source, sorted(chat.template.names.items()))
    manner = hashlib.sha256(repr(decisive).encode())
    key = key_of("conversations", found.key, tokenizer.key + manner.hexdigest())
    folder = cache_folder("datasets") / key
    for _ in range(3):  # another process that found the folder damaged may remove ours with it
        if (opened := open_encoded(folder, key, found, tokenizer.vocab_size)) is not None:
            mark_used(folder)
            return opened
        remove_unused(folder.parent)
        with draft_of(folder) as draft:
            write(draft, found, Fitter(chat, longest), on_progress)
    raise WriteFailed(
        f"{folder} was written three times, and each time it was damaged when it was read again.",
        "The disk may be failing. Set HOMESPUN_CACHE to a folder on another one.",
    )


def open_encoded(folder: Path, key: str, found: Found, vocab_size: int) -> Encoded | None:
    opened = open_splits(folder)
    if opened is None:
        return None
    meta, arrays = opened
    return Encoded(
        found,
        key,
        vocab_size,
        ids=arrays["ids"].ids,
        ends=np.array(arrays["ends"].ids),
        answers=np.array(arrays["answers"].ids).reshape(-1, 4),
        entries=np.array(arrays["entries"].ids),
        whole=np.array(arrays["whole"].ids, dtype=bool),
        left_out={reason: (count, first) for reason, count, first in meta["left_out"]},
        changed={reason: (count, first) for reason, count, first in meta["changed"]},
    )


def write(draft: Path, found: Found, fitter: Fitter, on_progress: OnProgress | None) -> None:
    """Encode everything into the files of a folder."""
    chat = fitter.chat
    whole_number = np.dtype("<i8")
    types = {
        "ids": id_type(chat.tokenizer.vocab_size),
        "ends": whole_number,
        "answers": whole_number,
        "entries": whole_number,
        "whole": np.dtype("|u1"),
    }
    with telling_why(draft):
        files = {name: ShardWriter(draft / f"{name}.npy", dtype) for name, dtype in types.items()}
    done = 0
    try:
        for first, bundle in bundles(found):
            for number, examples in enumerate(encode_bundle(bundle, fitter), start=first):
                whole = not isinstance(bundle[number - first].record, Conversation)
                with telling_why(draft):
                    for example in examples:
                        append(files, example, number, whole)
                done += found.characters[number]
            if on_progress is not None:
                on_progress(done, sum(found.characters))
        if not files["answers"].tokens:
            raise nothing_left(found, fitter)
        with telling_why(draft):
            entries = [file.finish() for file in files.values()]
            counts = {"left_out": fitter.left_out, "changed": fitter.changed}
            listed = {name: [[reason, *one] for reason, one in every.items()] for name, every in counts.items()}
            write_meta(draft, {"text": found.title, "splits": entries, **listed})
    finally:
        for file in files.values():
            with telling_why(draft):
                file.file.close()


def append(files: dict[str, ShardWriter], example: Example, number: int, whole: bool) -> None:
    before = files["ids"].tokens
    files["ids"].append(np.array(example.ids))
    files["ends"].append(np.array([before + len(example.ids)]))
    files["entries"].append(np.array([number]))
    files["whole"].append(np.array([whole]))
    for start, end, characters, size in example.answers:
        files["answers"].append(np.array([before + start, before + end, characters, size]))


def bundles(found: Found) -> Iterator[tuple[int, list[Document]]]:
    """Yield the entries in batches, each with the number of its first one.

    Raises TextUnreadable if they have changed.
    """
    bundle: list[Document] = []
    characters = number = 0
    for number, document in enumerate(found.entries(), start=1):
        if number > len(found.keys) or measured(document)[0] != found.keys[number - 1]:
            raise changed(found)
        bundle.append(document)
        characters += found.characters[number - 1]
        if characters >= BUNDLE_CHARACTERS:
            yield number - len(bundle), bundle
            bundle, characters = [], 0
    if number != len(found.keys):
        raise changed(found)
    if bundle:
        yield number - len(bundle), bundle


def changed(found: Found) -> TextUnreadable:
    return TextUnreadable(
        f"{found.title} changed while it was read.",
        "Run the same command again once nothing writes to it, or give a copy of it.",
    )


def encode_bundle(bundle: Sequence[Document], fitter: Fitter) -> list[list[Example]]:
    """Return the examples of each entry.

    A conversation that the template cannot render has none and is left out.
    """
    talks = [document for document in bundle if document.record is not None]
    rendered = iter(fitter.examples(talks))
    return [
        [text_example(document, fitter.chat.tokenizer)] if document.record is None else next(rendered)
        for document in bundle
    ]


def text_example(document: Document, tokenizer: Tokenizer) -> Example:
    """Return a text among the conversations as an example: all its tokens and its end are targets.

    Raises UnknownCharacter.
    """
    ids: list[int] = []
    characters = size = 0
    for piece in document.pieces():
        ids += tokenizer.encode(piece)
        characters += len(piece)
        size += len(piece.encode())
    if tokenizer.end_of_text is not None:
        ids.append(tokenizer.end_of_text)
    return Example(ids, [Answer(0, len(ids), characters, size)])


def nothing_left(found: Found, fitter: Fitter) -> NotEnoughText:
    if fitter.knows_few_characters:
        todo = (
            "Change the conversations, or take another model: smollm2, or one that was trained with --tokenizer "
            "bpe or byte, knows every character."
        )
    else:
        todo = "Change the conversations, or take the chat template of another model of that kind."
    return NotEnoughText(
        f"The model can learn from none of the conversations in {found.title}: "
        f"{'; '.join(describe_left_out(fitter.left_out))}.",
        todo,
    )
