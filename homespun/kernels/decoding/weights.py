"""A model's weights as the C++ decoding step takes them: joined where one product does the work of several.

The model keeps query, key and value apart, because that is how they are understood and saved. To
compute one token, three small products cost more than a large one, so they are joined here, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from homespun.model.attention import CausalSelfAttention
from homespun.model.block import Block, FeedForward
from homespun.model.dropout import ChannelDropout, Dropout
from homespun.model.gpt import GPT
from homespun.model.layers import LOCAL, NOPE
from homespun.model.norm import RMSNorm


@dataclass(frozen=True)
class Matrix:
    """x -> x W' + b: weight (outputs, inputs), bias (outputs) or None."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Norm:
    weight: Tensor  # (C)
    bias: Tensor | None


@dataclass(frozen=True)
class LayerWeights:
    """query_key_value (H D + 2 G D, C); up (n_inner, C), and beside it the gate where there is one.

    window  tokens that a position attends to, itself included; 0 for all
    rope    cosines and sines (T, R/2); None where positions rotate nothing
    """

    window: int
    rope: tuple[Tensor, Tensor] | None
    attention_norm: Norm | None
    query_key_value: Matrix
    query_norm: Tensor | None  # (D)
    key_norm: Tensor | None
    output: Matrix
    attention_post_norm: Norm | None
    feed_forward_norm: Norm | None
    up: Matrix
    gate: Matrix | None
    down: Matrix
    feed_forward_post_norm: Norm | None


@dataclass(frozen=True)
class Weights:
    """All weights of a model, in float32.

    The weight of a norm is what it multiplies with; that of the last one has the scale of the logits in it.
    """

    embedding: Tensor  # (V, C)
    embedding_scale: float
    positions: Tensor | None  # (T, C)
    layers: list[LayerWeights]
    final_norm: Norm
    head: Matrix


# What a model consists of where nothing was exchanged in it.
PLAIN = {
    *(GPT, Block, CausalSelfAttention, FeedForward, RMSNorm, ChannelDropout),
    *(nn.Linear, nn.Embedding, nn.LayerNorm, Dropout, nn.Identity, nn.ModuleList),
}


def can_be_read(model: nn.Module) -> bool:
    """Whether all of the model is in the weights that `weights_of` reads: it has no LoRA, say."""
    return all(type(module) in PLAIN for module in model.modules())


@torch.no_grad()
def weights_of(model: GPT) -> Weights:
    """Views of the model's parameters, copies only of what is joined."""
    positions = model.position_embedding
    return Weights(
        embedding=plain(model.token_embedding.weight),
        embedding_scale=float(
            torch.tensor(model.config.embedding_scale, dtype=model.token_embedding.weight.dtype)
        ),
        positions=None if positions is None else plain(positions.weight),
        layers=[layer_weights(model, block) for block in model.blocks if isinstance(block, Block)],
        final_norm=scaled(norm(model.final_norm), model.config.logit_scale),
        head=matrix(model.head),
    )


def layer_weights(model: GPT, block: Block) -> LayerWeights:
    attention, feed_forward = block.attention, block.feed_forward
    return LayerWeights(
        window=attention.window,
        rope=rope_of(model, attention.kind),
        attention_norm=norm_or_none(block.attention_norm),
        query_key_value=joined(attention.query, attention.key, attention.value),
        query_norm=head_norm(attention.query_norm),
        key_norm=head_norm(attention.key_norm),
        output=matrix(attention.output),
        attention_post_norm=norm_or_none(block.attention_post_norm),
        feed_forward_norm=norm_or_none(block.feed_forward_norm),
        up=matrix(feed_forward.up),
        gate=None if feed_forward.gate is None else matrix(feed_forward.gate),
        down=matrix(feed_forward.down),
        feed_forward_post_norm=norm_or_none(block.feed_forward_post_norm),
    )


def rope_of(model: GPT, kind: str) -> tuple[Tensor, Tensor] | None:
    """What a layer of that kind rotates queries and keys by."""
    if model.position_embedding is not None or kind == NOPE:
        return None
    return (
        (model.local_cosines, model.local_sines)
        if kind == LOCAL and model.config.local_base
        else (model.cosines, model.sines)
    )


def plain(weight: Tensor) -> Tensor:
    return weight.detach().float()


def matrix(linear: nn.Linear) -> Matrix:
    return Matrix(plain(linear.weight), None if linear.bias is None else plain(linear.bias))


def norm(module: nn.Module) -> Norm:
    bias = getattr(module, "bias", None)
    return Norm(factor(module), None if bias is None else plain(bias))


def norm_or_none(module: nn.Module) -> Norm | None:
    return None if isinstance(module, nn.Identity) else norm(module)


def factor(module: nn.Module) -> Tensor:
    """What a norm multiplies with."""
    weight = plain(module.get_parameter("weight"))
    return weight + 1.0 if isinstance(module, RMSNorm) and module.plus_one else weight


def scaled(norm: Norm, by: float) -> Norm:
    if by == 1.0:
        return norm
    return Norm(norm.weight * by, None if norm.bias is None else norm.bias * by)


def head_norm(module: nn.Module) -> Tensor | None:
    """Of queries or of keys, where the family has it."""
    return None if isinstance(module, nn.Identity) else factor(module)


def joined(*linears: nn.Linear) -> Matrix:
    """One matrix that gives the outputs of all, one after the other."""
    biases = [plain(linear.bias) for linear in linears if linear.bias is not None]
    return Matrix(torch.cat([plain(linear.weight) for linear in linears]), torch.cat(biases) if biases else None)


def version(model: nn.Module) -> int:
    """A number that changes when a weight is changed in place, as by an optimizer."""
    return sum(parameter._version for parameter in model.parameters())
