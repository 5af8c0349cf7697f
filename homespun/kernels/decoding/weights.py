"""A model's weights as a decoding step wants them: joined where one product can do the work of several.

The model keeps query, key and value apart, because that is how they are understood and saved. To
compute one token, three small products cost more than a large one, so they are joined here, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from homespun.model.block import Block
from homespun.model.gpt import GPT


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
    """query_key_value (H D + 2 G D, C); up (n_inner, C), and behind it the gate where there is one."""

    attention_norm: Norm
    query_key_value: Matrix
    query_norm: Tensor | None  # (D)
    key_norm: Tensor | None
    output: Matrix
    feed_forward_norm: Norm
    up: Matrix
    gate: Matrix | None
    down: Matrix


@dataclass(frozen=True)
class Weights:
    """Everything that a step multiplies with, in float32."""

    embedding: Tensor  # (V, C)
    positions: Tensor | None  # (T, C)
    angles: tuple[Tensor, Tensor] | None  # (T, D/2) each
    layers: list[LayerWeights]
    final_norm: Norm
    head: Matrix


@torch.no_grad()
def weights_of(model: GPT) -> Weights:
    """Views of the model's parameters, copies only of what is joined."""
    positions = model.position_embedding
    return Weights(
        embedding=plain(model.token_embedding.weight),
        positions=None if positions is None else plain(positions.weight),
        angles=(model.cosines, model.sines) if positions is None else None,
        layers=[layer_weights(block) for block in model.blocks if isinstance(block, Block)],
        final_norm=norm(model.final_norm),
        head=matrix(model.head),
    )


def layer_weights(block: Block) -> LayerWeights:
    attention, feed_forward = block.attention, block.feed_forward
    return LayerWeights(
        attention_norm=norm(block.attention_norm),
        query_key_value=joined(attention.query, attention.key, attention.value),
        query_norm=head_norm(attention.query_norm),
        key_norm=head_norm(attention.key_norm),
        output=matrix(attention.output),
        feed_forward_norm=norm(block.feed_forward_norm),
        up=matrix(feed_forward.up),
        gate=None if feed_forward.gate is None else matrix(feed_forward.gate),
        down=matrix(feed_forward.down),
    )


def plain(weight: Tensor) -> Tensor:
    return weight.detach().float()


def matrix(linear: nn.Linear) -> Matrix:
    return Matrix(plain(linear.weight), None if linear.bias is None else plain(linear.bias))


def norm(module: nn.Module) -> Norm:
    bias = getattr(module, "bias", None)
    return Norm(plain(module.get_parameter("weight")), None if bias is None else plain(bias))


def head_norm(module: nn.Module) -> Tensor | None:
    """Of queries or of keys, where the family has it."""
    return None if isinstance(module, nn.Identity) else plain(module.get_parameter("weight"))


def joined(*linears: nn.Linear) -> Matrix:
    """One matrix that gives the outputs of all, one after the other."""
    biases = [plain(linear.bias) for linear in linears if linear.bias is not None]
    return Matrix(torch.cat([plain(linear.weight) for linear in linears]), torch.cat(biases) if biases else None)


def rounded(weight: Tensor, kind: str) -> Tensor:
    """weight (outputs, inputs) as that kind can hold it, in float32 again.

    int8 has 255 steps between the largest weight of an output and its negative.

    >>> rounded(torch.tensor([[1.0, 0.3, -0.5]]), "int8").mul(127).round().tolist()
    [[127.0, 38.0, -64.0]]
    """
    if kind == "bfloat16":
        return weight.bfloat16().float()
    if kind == "int8":
        units, unit = in_int8(weight)
        return units.float() * unit[:, None]
    return weight


def in_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (outputs, inputs) -> whole numbers from -127 to 127 of that shape, and what 1 is worth (outputs)."""
    unit = weight.abs().amax(dim=1) / 127
    units = weight / unit.clamp(min=1e-30)[:, None]
    return units.round().to(torch.int8), unit


def version(model: nn.Module) -> int:
    """A number that changes when a weight is changed in place, as an optimizer does."""
    return sum(parameter._version for parameter in model.parameters())
