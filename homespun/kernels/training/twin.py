"""A model on the weights of another, whose layers use the compiled operations where they can."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.kernels.exchange import InPlaceOf, twin_of
from homespun.kernels.training import operations
from homespun.model.attention import CausalSelfAttention
from homespun.model.block import Block, FeedForward
from homespun.model.cache import KVCache
from homespun.model.gpt import GPT

LONGEST = 2048  # tokens: beyond that the scores of one head do not stay in the cache
SIDE = 32  # widths of products are multiples of this


def quick_twin(model: GPT) -> GPT:
    """Shares the weights of the model, and computes the same, to the rounding of bfloat16."""
    twin = twin_of(model)
    twin.token_embedding = QuickEmbedding(twin.token_embedding)  # type: ignore[assignment]
    for block in twin.blocks:
        assert isinstance(block, Block)
        for layer in (block.attention, block.feed_forward):
            for name, part in list(layer.named_children()):
                if isinstance(part, nn.Linear) and part.in_features % SIDE == part.out_features % SIDE == 0:
                    setattr(layer, name, QuickLinear(part))
    quicken_blocks(twin, model.config.context_length)
    return twin


def quicken_blocks(model: GPT, context_length: int) -> None:
    """Lets attention and SwiGLU of the blocks use the operations, in place. Its matrices multiply as before."""
    for block in model.blocks:
        assert isinstance(block, Block)
        if not block.attention.weight_dropout and context_length <= LONGEST:
            block.attention = QuickAttention(block.attention)
        if block.feed_forward.gate is not None:
            block.feed_forward = QuickSwiGLU(block.feed_forward)


class QuickEmbedding(nn.Module):
    def __init__(self, plain: nn.Embedding) -> None:
        super().__init__()
        self.weight = plain.weight

    def forward(self, ids: Tensor) -> Tensor:
        return operations.look_up(ids, self.weight)


class QuickLinear(nn.Module):
    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        y = operations.linear(x.to(torch.bfloat16), self.weight.detach().to(torch.bfloat16), self.weight)
        return y if self.bias is None else y + self.bias.to(y.dtype)


class QuickAttention(InPlaceOf, CausalSelfAttention):
    def mix(
        self, q: Tensor, k: Tensor, v: Tensor, cache: KVCache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if cache is not None or mask is not None:
            return super().mix(q, k, v, cache, mask)
        mixed, _ = operations.attend(*(part.to(torch.bfloat16) for part in (q, k, v)), self.scale)
        return mixed


class QuickSwiGLU(InPlaceOf, FeedForward):
    def forward(self, x: Tensor) -> Tensor:
        assert self.gate is not None
        return self.down(operations.swiglu(self.gate(x), self.up(x)))
