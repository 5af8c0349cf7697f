"""The key-value cache: what attention has computed of the past, kept, so that a new token costs one token."""

from __future__ import annotations

import torch
from torch import Tensor

from homespun.errors import ModelError
from homespun.model.config import GPTConfig


class KVCache:
    """Room for the keys and values of `length` tokens in every layer, allocated once.

    Pass it to `model(ids, cache=cache)`: the ids continue where the cache ends.
    """

    def __init__(
        self,
        config: GPTConfig,
        batch_size: int = 1,
        length: int | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.length = 0  # tokens that are in it
        self.room = config.context_length if length is None else length
        shape = (config.n_layer, batch_size, config.n_kv_head, self.room, config.head_width)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Writes key and value (B, G, T, D) behind what is there; returns all of them, (B, G, S, D).

        The length grows only when `advance` is called, after the last layer.
        """
        end = self.length + key.size(2)
        if end > self.room:
            raise ModelError(
                f"The cache has room for {self.room} tokens and was given {end}.",
                "Start again from the last tokens of the text: the window of the model is full.",
            )
        self.keys[layer, :, :, self.length : end] = key
        self.values[layer, :, :, self.length : end] = value
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, tokens: int) -> None:
        self.length += tokens
