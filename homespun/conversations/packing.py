"""Pack examples of all lengths into rows of one length, so that little of a batch is padding.

The rows record which example a token belongs to: attention is masked to the same example, and positions start
again at 0, so that the loss is the same as for every example alone.

An example of n tokens takes n - 1 places: at each the model predicts the next token. The algorithm is best fit
decreasing, for bin packing (Johnson 1973, "Near-optimal bin packing algorithms"): the longest example first, each
into the row where it leaves the least room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from homespun.dataset.shuffle import mixed, shuffled

IGNORED = -1  # the target of places outside the loss mask, which GPT.forward ignores
PADDING = -1  # the document number of padding


class Packed(NamedTuple):
    """Rows for training, all int64 (B, T).

    ids: tokens. targets: the next token, or -1 where the loss mask excludes it. documents: the number of the
    token's example in its row, from 0; -1 for padding. positions: from 0 in every example.
    """

    ids: Tensor
    targets: Tensor
    documents: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Answers:
    """The target tokens: from `starts` to `ends` (exclusive), int64 (k,), in order; and the size of their text."""

    starts: np.ndarray
    ends: np.ndarray
    characters: np.ndarray
    bytes: np.ndarray

    def is_target(self, places: np.ndarray) -> np.ndarray:
        """Return whether the tokens at `places`, any shape, are targets."""
        before = np.searchsorted(self.starts, places, side="right") - 1
        return (before >= 0) & (places < self.ends[before])

    def counts(self, places: np.ndarray) -> np.ndarray:
        """Return how many target tokens, characters and bytes come before each of `places` (n,); (3, n)."""
        answer = np.searchsorted(self.starts, places, side="right") - 1
        inside = np.minimum(places, self.ends[answer]) - self.starts[answer]
        share = inside / np.maximum(self.ends[answer] - self.starts[answer], 1)
        sizes = np.stack([self.ends - self.starts, self.characters, self.bytes]).astype(np.float64)
        before = np.cumsum(sizes, axis=1) - sizes
        return np.where(answer >= 0, before[:, answer] + share * sizes[:, answer], 0.0)


@dataclass(frozen=True)
class PackedSplit:
    """One split, in rows of `length` places.

    tokens: the number of targets in all rows; characters and bytes (UTF-8) of the text that they represent.
    documents: the number of examples, counting each piece of an example that was too long for a row.
    """

    name: str
    length: int
    tokens: int
    characters: int
    bytes: int
    documents: int
    ids: np.ndarray = field(repr=False)  # (N,), all examples
    answers: Answers = field(repr=False)
    starts: np.ndarray = field(repr=False)  # (P,) int64: where each piece begins in ids, row by row
    counts: np.ndarray = field(repr=False)  # (P,) int64: how many places each piece takes
    first: np.ndarray = field(repr=False)  # (rows + 1,) int64: the first piece of each row

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.first) - 1

    @property
    def padding(self) -> float:
        """The share of places that are padding, 0 to 1."""
        return 1 - int(self.counts.sum()) / (len(self) * self.length)

    def rows(self, numbers: np.ndarray | Sequence[int]) -> Packed:
        """Return the rows with these numbers, (len(numbers), T)."""
        numbers = np.asarray(numbers, dtype=np.int64)
        in_row = self.first[numbers + 1] - self.first[numbers]
        row = np.repeat(np.arange(len(numbers)), in_row)
        document = steps(in_row)
        piece = np.repeat(self.first[numbers], in_row) + document
        counts = self.counts[piece]
        before = np.cumsum(counts) - counts  # places of all rows before each piece
        begins = np.zeros(len(numbers), np.int64)
        begins[row[document == 0]] = before[document == 0]
        position = steps(counts)
        place = np.repeat(row * self.length + before - begins[row], counts) + position
        source = np.repeat(self.starts[piece], counts) + position

        shape = (len(numbers), self.length)
        ids, positions = (torch.zeros(shape, dtype=torch.int64) for _ in range(2))
        targets = torch.full(shape, IGNORED, dtype=torch.int64)
        documents = torch.full(shape, PADDING, dtype=torch.int64)
        at = torch.from_numpy(place)
        following = np.where(self.answers.is_target(source + 1), self.ids[source + 1].astype(np.int64), IGNORED)
        ids.view(-1)[at] = torch.from_numpy(self.ids[source].astype(np.int64))
        targets.view(-1)[at] = torch.from_numpy(following)
        documents.view(-1)[at] = torch.from_numpy(np.repeat(document, counts))
        positions.view(-1)[at] = torch.from_numpy(position)
        return Packed(ids, targets, documents, positions)


class PackedBatches:
    """All batches of a run: `batches[step]` is a Packed of `batch_size` rows, for step 0, 1, 2, …

    A batch depends on the seed and the step only, so a run can be resumed at any step. In each epoch every row
    comes once, in a different order each time.
    """

    def __init__(self, split: PackedSplit, batch_size: int, seed: int) -> None:
        assert len(split) >= 1 and batch_size >= 1
        self.split = split
        self.batch_size = batch_size
        self.seed = seed

    def __getitem__(self, step: int) -> Packed:
        assert step >= 0
        draws = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.uint64)
        epochs, places = np.divmod(draws, np.uint64(len(self.split)))
        keys = mixed(mixed(self.seed % 2**64) ^ epochs)
        return self.split.rows(shuffled(places, len(self.split), keys).astype(np.int64))

    def epoch_of(self, step: int) -> float:
        """Return the number of epochs completed when `step` begins."""
        return step * self.batch_size / len(self.split)


def packed(
    name: str, ids: np.ndarray, answers: Answers, starts: np.ndarray, counts: np.ndarray, length: int, seed: int
) -> PackedSplit:
    """Pack the pieces of `ids` that begin at `starts` and take `counts` places (n,), each at most `length`."""
    order, first = best_fit(counts, length, seed)
    covered = answers.counts(starts + counts + 1) - answers.counts(starts + 1)
    tokens, characters, size = (round(number) for number in covered.sum(axis=1).tolist())
    return PackedSplit(
        name, length, tokens, characters, size, len(starts), ids, answers, starts[order], counts[order], first
    )


def best_fit(counts: np.ndarray, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which pieces share a row: their numbers row by row (n,), and the offset of each row (rows + 1,).

    counts: (n,) places that each takes, from 1 to `length`. seed: shuffles pieces of equal length.

    >>> best_fit(np.array([3, 5, 2, 2]), length=5, seed=1)
    (array([1, 0, 3, 2]), array([0, 1, 3, 4]))
    """
    longest_first = np.lexsort((mixed(mixed(seed % 2**64) ^ np.arange(len(counts), dtype=np.uint64)), -counts))
    with_room: list[list[int]] = [[] for _ in range(length + 1)]  # rows by the number of places left
    some = 0  # bit r is set if with_room[r] is not empty
    row_of = np.empty(len(counts), np.int64)
    rows = 0
    for piece, count in zip(longest_first.tolist(), counts[longest_first].tolist(), strict=True):
        enough = some >> count
        if enough:
            room = count + (enough & -enough).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                some ^= 1 << room
        else:
            row, room = rows, length
            rows += 1
        row_of[piece] = row
        if room > count:
            with_room[room - count].append(row)
            some |= 1 << (room - count)
    order = longest_first[np.argsort(row_of[longest_first], kind="stable")]
    return order, np.concatenate([[0], np.cumsum(np.bincount(row_of, minlength=rows))])


def steps(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, 2, … up to each count, one after another.

    >>> steps(np.array([3, 2])).tolist()
    [0, 1, 2, 0, 1]
    """
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
