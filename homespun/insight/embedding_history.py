"""The token embedding over the course of a run, on two directions that are the same for all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.checkpoint.embedding_history import read_embeddings
from homespun.errors import CheckpointError
from homespun.insight.probabilities import names_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer

FEWEST = 3  # tokens that make a picture


@dataclass(frozen=True)
class EmbeddingHistory:
    """N rows of the token embedding at E evaluations of a run, projected by principal component analysis (PCA).

    The two directions are those in which the rows of the last evaluation vary most. So points move as the rows do,
    and no picture is mirrored or turned against the one before; each picture is centred on its own mean.

    steps   (E) int64
    ids     (N) int64; tokens: as a person may read them
    points  (E, N, 2) float32
    shares  (E, 2) float32: of the variance of the rows at each evaluation, along each of the two directions
    moved   (E) float32: how far the rows have moved since the evaluation before, in all C dimensions: the mean
            distance, relative to the mean length of the rows; 0 for the first
    """

    steps: NDArray[np.int64]
    ids: NDArray[np.int64]
    tokens: tuple[str, ...]
    points: NDArray[np.float32]
    shares: NDArray[np.float32]
    moved: NDArray[np.float32]

    def as_object(self) -> dict[str, Any]:
        """The course as JSON."""
        return {
            "steps": self.steps.tolist(),
            "ids": self.ids.tolist(),
            "tokens": list(self.tokens),
            "points": self.points.tolist(),
            "shares": self.shares.tolist(),
            "moved": self.moved.tolist(),
        }


def embedding_history(run: Path | str, tokenizer: Tokenizer) -> EmbeddingHistory:
    """What a run has written of its embedding. The run may still be going on.

    Raises CheckpointError where a run has written none: an earlier version, a bigram, a very wide model, a
    fine-tuning; or where a file is damaged.
    """
    stored = read_embeddings(Path(run))
    if not stored:
        raise CheckpointError(
            f"{run} does not hold its embedding over the course of the run.",
            "`homespun train` writes it at each evaluation, except for a bigram and for a width above 2048.",
        )
    ids = stored[-1].ids
    if len(ids) < FEWEST or any(not np.array_equal(one.ids, ids) for one in stored):
        raise CheckpointError(
            f"The embeddings in {run} are of different or of too few tokens.",
            "Remove the folder `embedding` in it; the model does not need it.",
        )
    rows = np.stack([one.rows for one in stored]).astype(np.float64)  # (E, N, C)
    centred = rows - rows.mean(axis=1, keepdims=True)
    directions = main_directions(centred[-1])
    points = centred @ directions  # (E, N, 2)
    total = np.square(centred).sum(axis=(1, 2)).clip(min=1e-30)
    steps = np.linalg.norm(np.diff(rows, axis=0, prepend=rows[:1]), axis=2).mean(axis=1)
    return EmbeddingHistory(
        steps=np.array([one.step for one in stored], dtype=np.int64),
        ids=ids,
        tokens=names_of(tokenizer, ids.tolist()),
        points=points.astype(np.float32),
        shares=(np.square(points).sum(axis=1) / total[:, None]).astype(np.float32),
        moved=(steps / np.linalg.norm(rows, axis=2).mean(axis=1).clip(min=1e-30)).astype(np.float32),
    )


def main_directions(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) -> (C, 2): the two directions of most variance; the largest number of each is positive."""
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    found = np.zeros((centred.shape[1], 2))
    found[:, : min(2, len(directions))] = directions[:2].T
    signs = np.sign(found[np.abs(found).argmax(axis=0), [0, 1]])
    return found * np.where(signs == 0, 1.0, signs)
