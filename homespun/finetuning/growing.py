"""Embedding rows for tokens that a model did not have, such as the special tokens of a conversation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.model.gpt import GPT


@torch.no_grad()
def grow(model: GPT, vocab_size: int) -> None:
    """Extend the embedding and the head to `vocab_size` tokens, in place.

    New rows start as the mean of the old ones, so that new tokens are neither likely nor impossible.
    """
    old = model.config.vocab_size
    if vocab_size <= old:
        return
    model.config = model.config.with_(vocab_size=vocab_size)
    embedding = nn.Embedding.from_pretrained(longer(model.token_embedding.weight, vocab_size), freeze=False)
    head = nn.Linear(model.config.n_embd, vocab_size, bias=model.head.bias is not None, device="meta")
    head.weight = (
        embedding.weight if model.config.tied_head else nn.Parameter(longer(model.head.weight, vocab_size))
    )
    if model.head.bias is not None:
        head.bias = nn.Parameter(longer(model.head.bias, vocab_size))
    model.token_embedding, model.head = embedding, head


def longer(rows: Tensor, number: int) -> Tensor:
    """(V, …) -> (number, …); new rows are the mean of the old ones.

    >>> longer(torch.tensor([[1.0], [3.0]]), 3).tolist()
    [[1.0], [3.0], [2.0]]
    """
    mean = rows.float().mean(dim=0, keepdim=True).to(rows.dtype)
    return torch.cat([rows, mean.expand(number - len(rows), *rows.shape[1:])])
