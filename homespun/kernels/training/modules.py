"""Modules that compute with the C++ operations of `operations.py`, and which models each of them is for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.kernels.exchange import Exchanged
from homespun.kernels.kernel import ELSEWHERE, NO_CONCERN, ModuleKernel, any_value, one_of
from homespun.kernels.training import operations
from homespun.model.attention import CausalSelfAttention
from homespun.model.block import FeedForward
from homespun.model.context import Causal, Context

LONGEST = 2048  # tokens: beyond that the scores of one head do not stay in the cache
SIDE = 32  # widths of products are multiples of this


class NativeEmbedding(nn.Module):
    """ids (B, T) -> (B, T, C)"""

    def __init__(self, original: nn.Embedding) -> None:
        super().__init__()
        self.weight = original.weight

    def forward(self, ids: Tensor) -> Tensor:
        return operations.look_up(ids, self.weight)


class NativeLinear(nn.Module):
    """x (…, inputs) -> (…, outputs), in bfloat16; the gradient of its weight is summed up in float32."""

    def __init__(self, original: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = original.weight, original.bias

    def forward(self, x: Tensor) -> Tensor:
        y = operations.linear(x.to(torch.bfloat16), self.weight.detach().to(torch.bfloat16), self.weight)
        return y if self.bias is None else y + self.bias.to(y.dtype)


class NativeAttention(Exchanged, CausalSelfAttention):
    """Plain causal attention by the C++ operation; in other contexts, and beyond a window, that of the context."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
        is_plain = type(context) is Causal and context.mask is None
        if not is_plain or 0 < self.window < q.size(1):
            return super().attend(q, k, v, context)
        out, _ = operations.attend(*(part.to(torch.bfloat16) for part in (q, k, v)), self.scale)
        return out


class NativeSwiGLU(Exchanged, FeedForward):
    """down(silu(gate(x)) * up(x)), (B, T, C) -> (B, T, C)"""

    def forward(self, x: Tensor) -> Tensor:
        assert self.gate is not None
        return self.down(operations.swiglu(self.gate(x), self.up(x)))


def native_embedding(name: str, module: nn.Module) -> nn.Module | None:
    return NativeEmbedding(module) if name == "token_embedding" and type(module) is nn.Embedding else None


def native_linear(name: str, module: nn.Module) -> nn.Module | None:
    if not (name.startswith("blocks.") and type(module) is nn.Linear):
        return None
    return NativeLinear(module) if module.in_features % SIDE == module.out_features % SIDE == 0 else None


def native_attention(name: str, module: nn.Module) -> nn.Module | None:
    plain = type(module) is CausalSelfAttention and not module.weight_dropout
    return NativeAttention(module) if plain else None


def native_swiglu(name: str, module: nn.Module) -> nn.Module | None:
    return NativeSwiGLU(module) if type(module) is FeedForward and module.kind == "swiglu" else None


def available(at_most: float) -> bool:
    return operations.available(wait=at_most > 0, at_most=at_most)


CPU, BFLOAT16 = frozenset({"cpu"}), frozenset({"bfloat16"})
EMBEDDING = ModuleKernel("the C++ embedding", CPU, BFLOAT16, NO_CONCERN | ELSEWHERE, available, native_embedding)
LINEAR = ModuleKernel("the C++ linear layer", CPU, BFLOAT16, NO_CONCERN | ELSEWHERE, available, native_linear)
ATTENTION = ModuleKernel(
    "the C++ attention",
    CPU,
    BFLOAT16,
    NO_CONCERN
    | ELSEWHERE
    | {
        "qk_norm_over": any_value,
        "context_length": lambda config: config.context_length <= LONGEST,
        "dropout": lambda config: config.dropout == 0.0 or config.drops_whole,  # none of single weights
        "scale_by": one_of("scale_by", "head_width", "n_embd"),
    },
    available,
    native_attention,
)
SWIGLU = ModuleKernel(
    "the C++ SwiGLU",
    CPU,
    BFLOAT16,
    NO_CONCERN | ELSEWHERE | {"qk_norm_over": any_value, "feed_forward": one_of("feed_forward", "swiglu")},
    available,
    native_swiglu,
)
