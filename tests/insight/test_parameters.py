"""Every parameter is listed once, and a picture of a matrix shows its blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from homespun.errors import UsageError
from homespun.insight.parameters import Parameters, matrix_picture, parameters_of
from homespun.model.config import GPTConfig
from homespun.model.gpt import build
from homespun.tokenizer.tokenizer import Tokenizer
from tests.insight.conftest import FAMILIES, small_model


@pytest.mark.parametrize("family", [*FAMILIES, "bigram"])
def test_all_parameters_are_counted_once_and_have_a_kind(family: str, tokenizer: Tokenizer) -> None:
    model = small_model(family, tokenizer)
    found: Parameters = parameters_of(model)
    assert found.total == model.config.number_of_parameters() == sum(tensor.count for tensor in found.tensors)
    assert sum(found.by_kind().values()) == sum(found.by_layer().values()) == found.total
    assert "other" not in found.by_kind()
    for tensor in found.tensors:
        weight = model.get_parameter(tensor.name)
        assert tensor.shape == tuple(weight.shape) and tensor.std == pytest.approx(
            float(weight.std(correction=0)), rel=1e-4
        )
        assert tensor.layer == (int(tensor.name.split(".")[1]) if tensor.name.startswith("blocks.") else None)
    assert len(found.as_object()["tensors"]) == len(found.tensors)


def test_a_tied_head_is_named_with_the_embedding() -> None:
    shape = {"context_length": 8, "n_layer": 1, "n_head": 2, "n_embd": 16}
    found = parameters_of(build(GPTConfig.of("gpt2", vocab_size=11, **shape)))
    assert found.tensors[0].shared == ("head.weight",) and found.tensors[0].kind == "token embedding"
    assert "head" not in found.by_kind()


@pytest.mark.parametrize("how", ["mean", "extreme"])
def test_a_pixel_is_the_mean_or_the_extreme_of_its_block(how: str, tokenizer: Tokenizer) -> None:
    model = small_model("gpt2", tokenizer)
    weight = model.blocks[0].feed_forward.up.weight.detach().numpy()  # (128, 32)
    found = matrix_picture(model, "blocks.0.feed_forward.up.weight", size=24, how=how)  # type: ignore[arg-type]
    assert found.values.shape == (24, 24) and found.values.dtype == np.float32 and found.shape == (128, 32)
    assert found.block == (6, 2)
    rows, columns = [128 * n // 24 for n in range(25)], [32 * n // 24 for n in range(25)]
    for y in range(24):
        for x in range(24):
            block = weight[rows[y] : rows[y + 1], columns[x] : columns[x + 1]]
            expected = block.mean() if how == "mean" else block.flat[np.abs(block).argmax()]
            assert found.values[y, x] == pytest.approx(expected, abs=1e-6)
    assert (found.smallest, found.largest) == (weight.min(), weight.max())


def test_a_small_matrix_is_shown_number_by_number_and_a_vector_as_one_row(tokenizer: Tokenizer) -> None:
    model = small_model("gpt2", tokenizer)
    weight = model.blocks[1].attention.query.weight.detach()
    np.testing.assert_array_equal(matrix_picture(model, "blocks.1.attention.query.weight").values, weight)
    bias = matrix_picture(model, "blocks.1.attention.query.bias")
    assert bias.values.shape == (1, 32) and bias.block == (1, 1)
    assert np.array(bias.as_object()["values"]).shape == (1, 32)
    with torch.no_grad():
        weight[3, 5] = -9.0
    assert matrix_picture(model, "blocks.1.attention.query.weight", size=4).values.min() == -9.0


def test_what_is_wrong_is_said(tokenizer: Tokenizer) -> None:
    model = small_model("gpt2", tokenizer)
    with pytest.raises(UsageError, match=r"no parameter 'head.wight'"):
        matrix_picture(model, "head.wight")
    with pytest.raises(UsageError, match="1 to 1024 pixels"):
        matrix_picture(model, "head.weight", size=0)
    with pytest.raises(UsageError, match="mean, extreme"):
        matrix_picture(model, "head.weight", how="median")  # type: ignore[arg-type]
