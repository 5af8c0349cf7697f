"""The token embedding on the two directions in which its rows vary most, and which rows are similar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from homespun.errors import ModelError, UsageError
from homespun.insight.probabilities import OTHER_FAMILY, names_of
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer

FEWEST = 3  # rows that make a picture


@dataclass(frozen=True)
class EmbeddingMap:
    """N rows of the embedding, projected by principal component analysis (PCA).

    ids      (N) int64
    tokens   (N) as a person may read them
    points   (N, 2) float32. Directions have no sign: a picture may be mirrored
    shares   of the variance, along each of the two directions
    nearest  (N, K) int64: the ids of the K most similar other rows, by the cosine
    """

    ids: NDArray[np.int64]
    tokens: tuple[str, ...]
    points: NDArray[np.float32]
    shares: tuple[float, float]
    nearest: NDArray[np.int64]


@torch.inference_mode()
def embedding_map(
    model: CausalLM, tokenizer: Tokenizer, ids: Sequence[int] | None = None, *, neighbours: int = 6
) -> EmbeddingMap:
    """The rows of these ids; None: of all that the tokenizer has. neighbours: K.

    Raises ModelError for a bigram, UsageError for fewer than three ids.
    """
    if not isinstance(model, GPT):
        raise ModelError("A bigram has no embedding: its table holds logits.", OTHER_FAMILY)
    chosen = list(range(tokenizer.vocab_size)) if ids is None else list(ids)
    if len(chosen) < FEWEST:
        raise UsageError(f"{len(chosen)} tokens make no picture.", f"Name at least {FEWEST} ids.")
    rows = model.token_embedding.weight[chosen].float().cpu()  # (N, C)
    centred = rows - rows.mean(dim=0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    points = left[:, :2] * sizes[:2]  # (N, 2)
    variances = sizes.square() / sizes.square().sum().clamp(min=1e-30)
    units = torch.nn.functional.normalize(rows, dim=-1)
    cosines = (units @ units.T).fill_diagonal_(-2.0)
    nearest = cosines.topk(min(neighbours, len(chosen) - 1)).indices
    return EmbeddingMap(
        ids=np.array(chosen, dtype=np.int64),
        tokens=names_of(tokenizer, chosen),
        points=points.numpy(),
        shares=(float(variances[0]), float(variances[1])),
        nearest=np.array(chosen, dtype=np.int64)[nearest.numpy()],
    )
