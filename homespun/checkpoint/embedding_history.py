"""The token embedding as it was at each evaluation of a run: one small file each, in the run folder.

`embedding/step-000000250.safetensors` holds `ids` (N) int32 and `rows` (N, C) float16: the rows of these ids after
250 steps. A format number stands in its header. The files are no part of the model: a run without them is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from homespun.checkpoint.tensors import opened, read_tensors, write_tensors
from homespun.errors import CheckpointError

FOLDER = "embedding"
FORMAT = "1"
MOST_BYTES = 2**18  # of one file: 512 tokens of width 256
MOST_TOKENS = 1024
FEWEST_TOKENS = 64  # where fewer fit into a file (a width above 2048), none is written
MOST_FILES = 200  # of a run; evaluations that come closer together leave some out


@dataclass(frozen=True)
class StoredEmbedding:
    """The embedding after `step` steps. ids (N) int64; rows (N, C) float32."""

    step: int
    ids: np.ndarray
    rows: np.ndarray


def most_rows(width: int) -> int:
    """How many rows of that width are kept: as many as fit into a file, and none where they are too few.

    >>> most_rows(128), most_rows(384), most_rows(2048), most_rows(4096)
    (1024, 341, 64, 0)
    """
    rows = min(MOST_TOKENS, MOST_BYTES // (2 * width))
    return rows if rows >= FEWEST_TOKENS else 0


def write_embedding(run: Path, step: int, ids: Sequence[int] | np.ndarray, weight: Tensor) -> None:
    """Write the rows of weight (V, C) that belong to ids (N), whole or not at all. Raises WriteFailed."""
    chosen = torch.as_tensor(np.asarray(ids, dtype=np.int64))
    rows = weight.detach()[chosen.to(weight.device)]
    path = path_of(run, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"ids": chosen.to(torch.int32), "rows": rows.to(torch.float16)}
    write_tensors(path, tensors, metadata={"format": FORMAT})


def read_embeddings(run: Path) -> list[StoredEmbedding]:
    """All that a run has written, the first step first; none where it wrote none. Raises CheckpointError."""
    return [read_embedding(path) for path in files(run)]


def read_embedding(path: Path) -> StoredEmbedding:
    """One file. Raises CheckpointError where it is damaged or of another format."""
    tensors = read_tensors(path)
    with opened(path) as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} was written by another version of homespun (format {metadata.get('format')}).",
            "Open it with the version that wrote it.",
        )
    ids, rows = tensors.get("ids"), tensors.get("rows")
    if ids is None or rows is None or ids.dim() != 1 or rows.dim() != 2 or len(ids) != len(rows):
        raise CheckpointError(
            f"{path} does not hold an embedding: it has {', '.join(sorted(tensors)) or 'nothing'}.",
            "Remove it; the run itself does not need it.",
        )
    return StoredEmbedding(step_of(path), ids.numpy().astype(np.int64), rows.float().numpy())


def forget_others(run: Path, steps: set[int]) -> None:
    """Remove what was written after other steps: the run goes on without these evaluations, perhaps otherwise."""
    for path in files(run):
        if step_of(path) not in steps:
            path.unlink(missing_ok=True)


def files(run: Path) -> list[Path]:
    """The files of a run, the first step first."""
    return sorted(path for path in (run / FOLDER).glob("step-*.safetensors") if path.stem[5:].isdigit())


def path_of(run: Path, step: int) -> Path:
    return run / FOLDER / f"step-{step:09d}.safetensors"


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))
