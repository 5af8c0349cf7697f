"""Prepare conversations for a run: hold some out, cut those that are too long, and pack them into rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from homespun.conversations.encoding import LONGEST, Encoded, encode_conversations
from homespun.conversations.packing import Answers, PackedSplit, packed
from homespun.conversations.recognise import describe_changed, describe_left_out
from homespun.dataset.preparation import InTwoSplits
from homespun.dataset.splits import documents_to_keep_back
from homespun.errors import NotEnoughText

if TYPE_CHECKING:
    from homespun.conversations.encoding import OnProgress
    from homespun.conversations.recognise import Found
    from homespun.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Conversations(InTwoSplits):
    """Conversations as rows of ids, in two splits: the counterpart of dataset.Dataset.

    key: of the conversations, the tokenizer and its template; equal keys mean equal ids and answers.
    vocab_size: ids are 0 … vocab_size-1. how: what was held out for validation, in words.
    notes: what was cut or left out, one line each.
    """

    train: PackedSplit
    val: PackedSplit
    vocab_size: int
    key: str
    how: str
    notes: list[str] = field(default_factory=list)


def lengths(found: Found, tokenizer: Tokenizer, *, on_progress: OnProgress | None = None) -> np.ndarray:
    """Return the number of tokens of each example, questions included, (n,) int64.

    Raises the errors of `encode_conversations`.
    """
    return encode_conversations(found, tokenizer, on_progress=on_progress).lengths


def prepare_conversations(found: Found, tokenizer: Tokenizer, *, length: int, seed: int) -> Conversations:
    """Return the conversations in rows of `length` places; about a tenth, whole conversations, are held out.

    Which are held out depends on their content alone, and equal ones stay together. Those that do not fit into a
    row are divided between a question and an answer, and cut where even a single answer does not fit.
    Raises NotEnoughText if there are not two different ones, and the errors of `encode_conversations`.
    """
    encoded = encode_conversations(found, tokenizer, longest=max(LONGEST, length + 1))
    if (encoded.lengths[~encoded.whole] > length + 1).any():
        encoded = encode_conversations(found, tokenizer, longest=length + 1)
    kept = held_back(encoded)
    is_val = kept[encoded.entries]
    answers = Answers(*np.ascontiguousarray(encoded.answers.T))
    notes = [*describe_left_out(encoded.left_out), *describe_changed(encoded.changed)]
    sides = []
    for name, of_side in (("train", ~is_val), ("val", is_val)):
        pieces, said = fitted(encoded, np.flatnonzero(of_side), length)
        if not len(pieces.starts):
            raise too_long(found, name, length)
        sides.append(packed(name, encoded.ids, answers, pieces.starts, pieces.counts, length, seed))
        notes += [f"{line} ({'for training' if name == 'train' else 'kept back'})" for line in said]
    return Conversations(sides[0], sides[1], encoded.vocab_size, encoded.key, how_many(encoded, kept), notes)


def held_back(encoded: Encoded) -> np.ndarray:
    """Return which entries are for validation, (entries,) bool.

    Raises NotEnoughText if there are not two different ones.
    """
    found = encoded.found
    sizes: dict[str, int] = {}
    for entry in np.unique(encoded.entries).tolist():
        sizes[found.keys[entry]] = sizes.get(found.keys[entry], 0) + found.characters[entry]
    if len(sizes) < 2:
        raise NotEnoughText(
            f"There is only one conversation to learn from in {found.title}, and it takes two different ones: "
            "one is held out to measure how well the model learned the other.",
            "Give more of them: some dozens teach a manner of speaking, some hundreds a little more.",
        )
    chosen = documents_to_keep_back(sizes)
    if not chosen:  # no set comes near a tenth: take the one that comes nearest, but never the larger part
        tenth = sum(sizes.values()) / 10
        chosen = {min(sizes, key=lambda key: (abs(sizes[key] - tenth), key))}
    return np.array([key in chosen for key in found.keys])


def how_many(encoded: Encoded, kept: np.ndarray) -> str:
    entries = np.unique(encoded.entries)
    what = "conversations and texts" if encoded.found.texts else "conversations"
    return f"{int(kept[entries].sum()):,} of {len(entries):,} {what}, whole"


class Pieces(NamedTuple):
    """Ranges of ids: where each begins, and how many places it takes, one less than its tokens; int64 (n,)."""

    starts: np.ndarray
    counts: np.ndarray


def fitted(encoded: Encoded, examples: np.ndarray, length: int) -> tuple[Pieces, list[str]]:
    """Return these examples as pieces of at most `length` places, and notes on what was cut or left out.

    examples: the numbers of the examples, (n,).
    """
    starts, counts = encoded.starts[examples], encoded.lengths[examples] - 1
    fits = (counts <= length) & (counts >= 1)
    found_starts, found_counts = [starts[fits]], [counts[fits]]
    behind_answer = inside_answer = none = lost = 0
    for example in examples[counts > length].tolist():
        start, end = int(encoded.starts[example]), int(encoded.ends[example])
        if encoded.whole[example]:
            pieces = windows(start, end - start - 1, length)
            found_starts.append(pieces.starts)
            found_counts.append(pieces.counts)
            continue
        stop, whole = cut(answers_of(encoded, start, end), start, length)
        lost += end - stop
        behind_answer += whole
        inside_answer += not whole and stop > start
        none += stop == start
        if stop > start:
            found_starts.append(np.array([start]))
            found_counts.append(np.array([stop - start - 1]))
    said = []
    if behind_answer or inside_answer or none:
        said = [longer(length, behind_answer, inside_answer, none, lost)]
    return Pieces(np.concatenate(found_starts), np.concatenate(found_counts)), said


def answers_of(encoded: Encoded, start: int, end: int) -> np.ndarray:
    """Return the start and end of the answers between two places, (k, 2)."""
    first, last = np.searchsorted(encoded.answers[:, 0], [start, end])
    return encoded.answers[first:last, :2]


def cut(answers: np.ndarray, start: int, length: int) -> tuple[int, bool]:
    """Return where an example that begins at `start` is cut to fit `length` places, and if an answer ends there.

    The first value is `start` itself if not even the beginning of an answer would be left.

    >>> cut(np.array([[4, 10], [20, 30]]), start=0, length=15), cut(np.array([[4, 30]]), start=0, length=15)
    ((10, True), (16, False))
    """
    most = start + length + 1  # one token more than places: the last token is only a target
    whole = answers[answers[:, 1] <= most]
    if len(whole):
        return int(whole[-1, 1]), True
    return (most, False) if len(answers) and answers[0, 0] < most else (start, False)


def longer(length: int, behind_answer: int, inside_answer: int, none: int, lost: int) -> str:
    """Describe on one line what was done to the examples that were too long."""
    done = [
        f"{count:,} {how}"
        for count, how in (
            (behind_answer, "cut behind the last answer that fits"),
            (inside_answer, "cut within the first answer"),
            (none, "left out, since the first answer begins behind that"),
        )
        if count
    ]
    total = behind_answer + inside_answer + none
    return f"{total:,} longer than {length + 1:,} tokens: {', '.join(done)}; {lost:,} tokens are not trained on"


def windows(start: int, places: int, length: int) -> Pieces:
    """Return a text of `places` places from `start` on, in pieces of `length` and a rest.

    Every token but the first is predicted once.

    >>> windows(start=100, places=5, length=2)
    Pieces(starts=array([100, 102, 104]), counts=array([2, 2, 1]))
    """
    offsets = np.arange(0, places, length)
    return Pieces(start + offsets, np.minimum(length, places - offsets))


def too_long(found: Found, name: str, length: int) -> NotEnoughText:
    which = "of those to learn from" if name == "train" else "of those that are kept back"
    return NotEnoughText(
        f"None {which} in {found.title} fits: the model's context has {length:,} tokens, and every answer begins "
        "behind that.",
        "Give shorter questions, or take a model with a longer context (context_length).",
    )
