"""Modules that compute with the functions of `operations.py`, and which models each of them is for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.kernels.exchange import Exchanged
from homespun.kernels.float32 import operations
from homespun.kernels.float32.operations import GROUPS, BlockShape, FusedBlock, HeadLoss, HeadShape, LookUp
from homespun.kernels.kernel import NO_CONCERN, ModuleKernel, one_of
from homespun.model.attention import CausalSelfAttention
from homespun.model.block import Block, FeedForward
from homespun.model.context import Causal, Context
from homespun.model.dropout import ChannelDropout, Dropout, draw
from homespun.model.gpt import GPT
from homespun.model.norm import RMSNorm


class NativeBlock(Exchanged, Block):
    """A transformer block as one function, forward and backward; in any other context than the plain causal one
    the block itself. (B, T, C) -> (B, T, C)"""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        plain = type(context) is Causal and context.documents is None
        if not (plain and x.dtype == torch.float32 and torch.is_grad_enabled()):
            return super().forward(x, context)
        attention, feed_forward = self.attention, self.feed_forward
        width = attention.head_width
        heads, key_heads = attention.query.out_features // width, attention.key.out_features // width
        texts, tokens, channels = x.shape
        # Drawn in the order in which the model itself draws.
        of_values = dropped(attention.value_dropout, (texts, tokens, key_heads), self.training)
        share = self.dropout.share if isinstance(self.dropout, ChannelDropout) else 0.0
        of_attention, of_feed_forward = (dropped(share, (texts, channels), self.training) for _ in range(2))
        rope = context.ropes.get(attention.kind)
        cosines, sines = (None, None) if rope is None else (part.contiguous() for part in rope)
        head_norm = attention.query_norm if isinstance(attention.query_norm, RMSNorm) else None
        assert isinstance(self.attention_norm, RMSNorm) and feed_forward.gate is not None
        shape = BlockShape(
            texts=texts,
            tokens=tokens,
            width=channels,
            heads=heads,
            key_heads=key_heads,
            head_width=width,
            inner=feed_forward.up.out_features,
            groups=max(GROUPS, torch.get_num_threads()),
            threads=torch.get_num_threads(),
            eps=self.attention_norm.eps,
            head_eps=head_norm.eps if head_norm is not None else 0.0,
            scale=attention.scale,
        )
        result: Tensor = FusedBlock.apply(
            shape,
            (cosines, sines, of_values, of_attention, of_feed_forward),
            x,
            self.attention_norm.weight,
            attention.query.weight,
            attention.key.weight,
            attention.value.weight,
            attention.output.weight,
            getattr(attention.query_norm, "weight", None),
            getattr(attention.key_norm, "weight", None),
            self.feed_forward_norm.weight,
            feed_forward.gate.weight,
            feed_forward.up.weight,
            feed_forward.down.weight,
        )
        return result


class NativeLoss(Exchanged, GPT):
    """A model whose final norm, head and loss are one function; in training it gives no logits beside the loss."""

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, context: Context | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if targets is None or not torch.is_grad_enabled():
            return super().forward(ids, targets, context)
        assert isinstance(self.final_norm, RMSNorm)
        x = self.residual_stream(ids, context)  # (B, T, C)
        shape = HeadShape(
            rows=ids.numel(),
            width=x.size(-1),
            vocab_size=self.head.out_features,
            groups=max(GROUPS, torch.get_num_threads()),
            threads=torch.get_num_threads(),
            eps=self.final_norm.eps,
        )
        loss: Tensor = HeadLoss.apply(shape, targets, x, self.final_norm.weight, self.head.weight)
        return x.new_empty(0), loss


class NativeEmbedding(nn.Embedding):
    """ids (B, T) -> (B, T, C); its gradient is summed up by columns."""

    def __init__(self, original: nn.Embedding) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(original.__dict__)

    def forward(self, ids: Tensor) -> Tensor:
        result: Tensor = LookUp.apply(ids, self.weight)
        return result


def dropped(share: float, shape: tuple[int, ...], training: bool) -> Tensor | None:
    """Factors of 0 and 1 / (1 - share); None where nothing is dropped."""
    return draw(torch.ones(shape), share) if training and share else None


def native_block(name: str, module: nn.Module) -> nn.Module | None:
    plain = (
        type(module) is Block
        and type(module.attention) is CausalSelfAttention
        and type(module.feed_forward) is FeedForward
        and module.feed_forward.kind == "swiglu"
        and all(part.bias is None for part in module.modules() if isinstance(part, nn.Linear))
        and all(type(part) in KNOWN for part in module.modules() if part is not module)
    )
    return NativeBlock(module) if plain else None


def native_loss(name: str, module: nn.Module) -> nn.Module | None:
    plain = type(module) is GPT and type(module.head) is nn.Linear and type(module.final_norm) is RMSNorm
    return NativeLoss(module) if plain else None


def native_embedding(name: str, module: nn.Module) -> nn.Module | None:
    return NativeEmbedding(module) if name == "token_embedding" and type(module) is nn.Embedding else None


# The modules that a block is made of; with any other, such as one of LoRA, it stays as it is.
KNOWN = {CausalSelfAttention, FeedForward, RMSNorm, nn.Linear, nn.Identity, Dropout, ChannelDropout}


def available(at_most: float) -> bool:
    return operations.available(wait=at_most > 0, at_most=at_most)


CPU, FLOAT32 = frozenset({"cpu"}), frozenset({"float32"})
BLOCK = ModuleKernel(
    "the C++ block",
    CPU,
    FLOAT32,
    NO_CONCERN
    | {
        "norm": one_of("norm", "rmsnorm"),
        "position": one_of("position", "rotary", "learned"),
        "feed_forward": one_of("feed_forward", "swiglu"),
        "qk_norm": one_of("qk_norm", True, False),
        "qkv_bias": one_of("qkv_bias", False),
        "bias": one_of("bias", False),
        "scale_by": one_of("scale_by", "head_width", "n_embd"),
        "dropout": lambda config: config.dropout == 0.0 or config.drops_whole,  # none of single numbers
    },
    available,
    native_block,
)
HEAD = ModuleKernel(
    "the C++ loss",
    CPU,
    FLOAT32,
    NO_CONCERN | {"norm": one_of("norm", "rmsnorm"), "head_bias": one_of("head_bias", False)},
    available,
    native_loss,
)
EMBEDDING_GRADIENT = ModuleKernel(
    "the C++ gradient of an embedding", CPU, FLOAT32, NO_CONCERN, available, native_embedding
)
