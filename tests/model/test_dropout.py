"""Dropout in whole pieces, and the families that drop single numbers."""

from __future__ import annotations

import pytest
import torch

from homespun.model.config import GPTConfig
from homespun.model.context import Causal
from homespun.model.dropout import ChannelDropout, drop_whole
from homespun.model.gpt import GPT


def test_pieces_go_whole_and_the_others_grow() -> None:
    torch.manual_seed(0)
    x = torch.rand(50, 7, 40) + 1.0
    for along in (1, 2):
        dropped = drop_whole(x, 0.25, along)
        kept = (dropped != 0).any(along, keepdim=True)
        torch.testing.assert_close(dropped, x * kept / 0.75)
        assert 0.2 < 1 - kept.float().mean().item() < 0.3


def test_a_text_loses_channels_only_while_the_model_trains() -> None:
    layer, x = ChannelDropout(0.5), torch.ones(4, 3, 8)
    assert not torch.equal(layer(x), x)
    assert layer.eval()(x) is x
    assert ChannelDropout(0.0)(x) is x


def model_of(family: str) -> GPT:
    config = GPTConfig.of(
        family, vocab_size=9, context_length=6, n_layer=1, n_head=2, n_embd=8, n_kv_head=2, dropout=0.5
    )
    torch.manual_seed(0)
    return GPT(config).train()


@pytest.mark.parametrize("family", ["modern", "llama"])
def test_a_value_is_visible_to_all_positions_or_to_none(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attention = model_of(family).blocks[0].attention
    values = []
    monkeypatch.setattr(attention, "attend", lambda q, k, v, context: values.append(v) or v)
    attention(torch.rand(5, 6, 8) + 0.1, Causal())
    dropped = (values[0] == 0).all(-1)  # (B, T, G)
    assert 0.2 < dropped.float().mean().item() < 0.8
    assert (values[0][~dropped] != 0).all()


@pytest.mark.parametrize("family", ["lecture", "gpt2"])
def test_families_of_old_drop_single_numbers(family: str) -> None:
    block = model_of(family).blocks[0]
    assert block.attention.weight_dropout == 0.5 and not block.attention.value_dropout
    assert isinstance(block.dropout, torch.nn.Dropout)
