"""Near-duplicate documents, found without comparing every pair.

The fingerprints of a document's short passages fall into 32 bins, and of each bin the smallest fingerprint is
kept. The share of bins that agree in two documents estimates the share of passages that they have in common
(their Jaccard similarity): Broder 1997, "On the resemblance and containment of documents", with one hash function
as in Li, Owen and Zhang 2012, "One Permutation Hashing". Only documents that agree in two neighbouring bins are
compared at all.
"""

from __future__ import annotations

import numpy as np

from homespun.dataset.fingerprints import SHORT, SHORT_EVERY, Waiting, in_bytes

BINS = 32
EMPTY = np.uint32(2**32 - 1)
SHORTEST = 300  # characters; a shorter document has too few passages for an estimate
FEWEST_BINS = 16  # non-empty bins, for the same reason
# At 0.7, two or three words in a hundred differ: another edition, the same page with another date.
ALIKE = 0.7
MOST_DOCUMENTS = 200_000  # 128 bytes each


class Sketches:
    """One sketch for each document: BINS numbers. If there are many documents, only a sample is kept.

    The sample is not random: a sketch is kept by its smallest value, which similar documents mostly share.
    """

    def __init__(self, documents: int, bytes_per_character: float) -> None:
        self.one_in = -(-documents // MOST_DOCUMENTS)
        self.waiting = Waiting(in_bytes(SHORT, bytes_per_character), SHORT_EVERY)
        self.documents = [np.zeros(0, np.int64)]
        self.kept = [np.zeros((0, BINS), np.uint32)]
        # The last document may continue in the next part.
        self.last = -1
        self.last_sketch = np.full(BINS, EMPTY)

    def look_at(self, text: bytes, document: int) -> None:
        """Add the next part, as UTF-8, of document number `document`."""
        if self.waiting.add(text, document):
            self.look_at_waiting()

    def look_at_waiting(self) -> None:
        (_, prints), documents = self.waiting.take()
        numbers, rows = np.unique(np.append(self.last, documents), return_inverse=True)
        sketches = np.full((len(numbers), BINS), EMPTY)
        sketches[0] = self.last_sketch
        bins, values = prints % np.uint64(BINS), prints >> np.uint64(32)
        np.minimum.at(sketches, (rows[1:], bins.astype(np.intp)), values.astype(np.uint32))
        self.keep(numbers[:-1], sketches[:-1])
        self.last, self.last_sketch = int(numbers[-1]), sketches[-1]

    def keep(self, numbers: np.ndarray, sketches: np.ndarray) -> None:
        """Store the sketches (n, BINS) of complete documents with the numbers `numbers` (n,)."""
        filled = np.count_nonzero(sketches != EMPTY, axis=1) >= FEWEST_BINS
        chosen = filled & (sketches.min(axis=1) % np.uint32(self.one_in) == 0)
        self.documents.append(numbers[chosen])
        self.kept.append(sketches[chosen])

    def copies(self) -> dict[int, int]:
        """Map the number of each document that is similar (or equal) to an earlier one to that one's number."""
        self.look_at_waiting()
        self.keep(np.array([self.last]), self.last_sketch[None])
        numbers = np.concatenate(self.documents).tolist()
        sketches = np.concatenate(self.kept)  # (documents, BINS)
        original: dict[int, int] = {}
        for band in range(0, BINS, 2):
            for one, other in same_band(sketches[:, band : band + 2]):
                if other not in original and alike(sketches[one], sketches[other]):
                    original[other] = original.get(one, one)
        return {numbers[other]: numbers[one] for other, one in sorted(original.items())}


def same_band(band: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of equal rows of `band` (documents, 2): the first row of each group with each other one.

    >>> same_band(np.array([[1, 2], [3, 4], [1, 2], [1, 2]], np.uint32))
    [(0, 2), (0, 3)]
    """
    rows = np.flatnonzero((band != EMPTY).all(axis=1))
    values = band[rows, 0].astype(np.uint64) << np.uint64(32) | band[rows, 1]
    _, first, group = np.unique(values, return_index=True, return_inverse=True)
    others = np.flatnonzero(first[group] != np.arange(len(rows)))
    return list(zip(rows[first[group[others]]].tolist(), rows[others].tolist(), strict=True))


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two sketches (BINS,) belong to documents that have most passages in common."""
    filled = np.count_nonzero((one != EMPTY) | (other != EMPTY))
    return bool(np.count_nonzero((one == other) & (one != EMPTY)) >= ALIKE * filled)
