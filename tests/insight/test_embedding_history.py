"""The course of the embedding: one basis for all of it, and damaged files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from homespun.checkpoint.embedding_history import files, forget_others, most_rows, path_of, write_embedding
from homespun.checkpoint.tensors import write_tensors
from homespun.errors import CheckpointError
from homespun.insight.embedding import embedding_map
from homespun.insight.embedding_history import embedding_history
from homespun.tokenizer.tokenizer import Tokenizer
from tests.insight.conftest import small_model


def test_the_last_picture_is_that_of_the_embedding_map_and_points_move_as_rows_do(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = small_model("modern", tokenizer)
    weight = model.token_embedding.weight  # type: ignore[union-attr]
    ids = np.arange(tokenizer.vocab_size)
    before = weight.detach().clone()
    random = torch.Generator().manual_seed(1)
    for step, size in ((0, 0.4), (50, 0.2), (100, 0.0)):
        write_embedding(tmp_path, step, ids, before + size * torch.randn(before.shape, generator=random))
    found = embedding_history(tmp_path, tokenizer)
    assert found.steps.tolist() == [0, 50, 100] and found.points.shape == (3, len(ids), 2)
    assert found.tokens == tuple(tokenizer.token(id) for id in range(len(ids)))
    last = embedding_map(model, tokenizer)
    signs = np.sign((found.points[-1] * last.points).sum(0))
    np.testing.assert_allclose(found.points[-1] * signs, last.points, atol=5e-3)  # rounded to float16
    np.testing.assert_allclose(found.shares[-1], last.shares, atol=1e-3)
    # A move of the rows by a little is a move of the points by a little, in the same basis.
    write_embedding(tmp_path, 110, ids, before + 1e-3)
    longer = embedding_history(tmp_path, tokenizer)
    np.testing.assert_allclose(longer.points[-1], longer.points[-2], atol=5e-3)
    np.testing.assert_allclose(np.abs(longer.points[:3]), np.abs(found.points), atol=5e-3)
    assert longer.moved[0] == 0 and longer.moved[1] > longer.moved[2] > longer.moved[3] > 0
    assert np.array(longer.as_object()["points"]).shape == (4, len(ids), 2)


def test_steps_that_a_run_has_gone_back_from_are_removed(tmp_path: Path) -> None:
    for step in (0, 10, 20, 30):
        write_embedding(tmp_path, step, range(5), torch.randn(9, 4))
    (tmp_path / "embedding" / "notes.txt").write_text("mine")
    forget_others(tmp_path, {0, 20})
    assert files(tmp_path) == [path_of(tmp_path, 0), path_of(tmp_path, 20)]
    assert (tmp_path / "embedding" / "notes.txt").exists()


@pytest.mark.parametrize("width", [16, 128, 256, 1024, 2048, 2050, 8192])
def test_a_file_stays_small(width: int) -> None:
    rows = most_rows(width)
    assert rows == 0 or (64 <= rows <= 1024 and rows * width * 2 <= 2**18)
    assert (rows == 0) == (width > 2048)


def test_what_is_missing_or_damaged_is_said(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not hold its embedding"):
        embedding_history(tmp_path, tokenizer)
    write_embedding(tmp_path, 0, range(5), torch.randn(9, 4))
    write_embedding(tmp_path, 10, range(6), torch.randn(9, 4))
    with pytest.raises(CheckpointError, match="of different or of too few tokens"):
        embedding_history(tmp_path, tokenizer)
    path_of(tmp_path, 10).write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        embedding_history(tmp_path, tokenizer)
    write_tensors(path_of(tmp_path, 10), {"ids": torch.arange(5)}, metadata={"format": "1"})
    with pytest.raises(CheckpointError, match="does not hold an embedding: it has ids"):
        embedding_history(tmp_path, tokenizer)
    write_tensors(path_of(tmp_path, 10), {"ids": torch.arange(5)}, metadata={"format": "9"})
    with pytest.raises(CheckpointError, match=r"another version of homespun \(format 9\)"):
        embedding_history(tmp_path, tokenizer)
