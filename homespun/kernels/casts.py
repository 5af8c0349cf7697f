"""Modules of a model whose matrices are kept in fewer bits than what flows between its blocks.

Where matrices are frozen in bfloat16, the residual stream stays float32: each norm hands on `dtype` once, instead
of each of the matrices behind it casting for itself, and the head takes what the last norm gives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.kernels.exchange import Exchanged, Replacement
from homespun.model.norm import RMSNorm

BLOCK_NORMS = ("attention_norm", "feed_forward_norm")


class CastOutput(Exchanged):
    """To be inherited before a module's class: its result, in another dtype."""

    def __init__(self, original: nn.Module, dtype: torch.dtype) -> None:
        super().__init__(original)
        self.output_dtype = dtype

    def forward(self, *inputs: Any) -> Tensor:
        result: Tensor = super().forward(*inputs)
        return result.to(self.output_dtype)


class CastEmbedding(CastOutput, nn.Embedding):
    """ids (B, T) -> (B, T, C)"""


class CastRMSNorm(CastOutput, RMSNorm):
    """x (…, C) -> (…, C)"""


class CastLayerNorm(CastOutput, nn.LayerNorm):
    """x (…, C) -> (…, C)"""


class CastInputLinear(Exchanged, nn.Linear):
    """x (…, inputs) in any dtype -> (…, outputs), in the dtype of the weight."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


def casts(dtype: torch.dtype) -> Replacement:
    """For `exchange`: products in `dtype`, and float32 between the blocks."""

    def replacement(name: str, module: nn.Module) -> nn.Module | None:
        if name == "token_embedding" and isinstance(module, nn.Embedding):
            return CastEmbedding(module, torch.float32)
        if name == "head" and isinstance(module, nn.Linear):
            return CastInputLinear(module)
        if name.rpartition(".")[2] in BLOCK_NORMS:
            kinds = ((RMSNorm, CastRMSNorm), (nn.LayerNorm, CastLayerNorm))
            return next((cast(module, dtype) for kind, cast in kinds if isinstance(module, kind)), None)
        return None

    return replacement
