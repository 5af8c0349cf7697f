"""Weights in the order in which `step.cpp` reads them, and the structures that tell it where they are.

A matrix (outputs, inputs) becomes panels of 16 outputs, filled up with zeros:

    float32   (panels, inputs, 16)
    bfloat16  (panels, inputs / 2, 16, 2)   inputs filled up to a multiple of 32
    int8      (panels, inputs / 4, 16, 4)   inputs filled up to a multiple of 64, and a scale for each output
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.kernels.decoding.weights import LayerWeights, Matrix, Norm, Weights
from homespun.kernels.rounding import in_int8
from homespun.machine.memory import Arena
from homespun.model.config import GPTConfig

LANES = 16
KIND = {"float32": 0, "bfloat16": 1, "int8": 2}
TOGETHER = {"float32": 1, "bfloat16": 2, "int8": 4}  # inputs that stand beside each other
MULTIPLE = {"float32": 1, "bfloat16": 32, "int8": 64}
NORM = {"rmsnorm": 0, "rmsnorm_plus_one": 0, "layernorm": 1}
ACTIVATION = {"swiglu": 0, "gelu": 1, "relu": 2, "geglu": 3}
POINTER = ctypes.c_void_p
NUMBER = ctypes.c_int32


class Linear(ctypes.Structure):
    _fields_ = (
        ("weight", POINTER),
        ("bias", POINTER),
        ("scale", POINTER),
        ("outputs", NUMBER),
        ("inputs", NUMBER),
    )


class Layer(ctypes.Structure):
    _fields_ = (
        ("window", NUMBER),
        ("cosines", POINTER),
        ("sines", POINTER),
        ("attention_norm", POINTER),
        ("attention_norm_bias", POINTER),
        ("query_key_value", Linear),
        ("query_norm", POINTER),
        ("key_norm", POINTER),
        ("output", Linear),
        ("attention_post_norm", POINTER),
        ("attention_post_norm_bias", POINTER),
        ("feed_forward_norm", POINTER),
        ("feed_forward_norm_bias", POINTER),
        ("up", Linear),
        ("down", Linear),
        ("feed_forward_post_norm", POINTER),
        ("feed_forward_post_norm_bias", POINTER),
    )


class Model(ctypes.Structure):
    _fields_ = (
        *((name, NUMBER) for name in ("kind", "layers", "heads", "key_heads", "width", "inner", "head_width")),
        *((name, NUMBER) for name in ("vocabulary", "context", "norm", "activation", "rotated")),
        *((name, ctypes.c_float) for name in ("eps", "scale", "embedding_scale", "residual_scale")),
        *((name, POINTER) for name in ("embedding", "positions")),
        *((name, POINTER) for name in ("final_norm", "final_norm_bias")),
        ("layer", ctypes.POINTER(Layer)),
        ("head", Linear),
    )


class Work(ctypes.Structure):
    _fields_ = (
        *((name, NUMBER) for name in ("slots", "blocks_of_a_sequence", "wants")),
        *(
            (name, POINTER)
            for name in ("ids", "positions", "sequences", "tables", "wanted", "blocks", "logits", "scratch")
        ),
    )


def panels(weight: Tensor, kind: str) -> Tensor:
    """weight (outputs, inputs) -> (panels, inputs / t, 16, t), t of the inputs beside each other.

    >>> panels(torch.arange(32.0).view(16, 2), "float32")[0, 1, :3, 0].tolist()  # the second input
    [1.0, 3.0, 5.0]
    """
    outputs, inputs = weight.shape
    beside = TOGETHER[kind]
    filled = F.pad(weight, (0, -inputs % MULTIPLE[kind], 0, -outputs % LANES))
    return filled.view(-1, LANES, filled.size(1) // beside, beside).transpose(1, 2).contiguous()


class Packed:
    """The model, packed. `model` is for `step`; the tensors that it points to live as long as this does."""

    def __init__(self, config: GPTConfig, weights: Weights, kind: str) -> None:
        self.kind = kind
        self.kept: list[Tensor] = []
        self.arena = Arena()
        self.shared: dict[int, int | None] = {}  # addresses by those of the tables that layers have in common
        self.layers = (Layer * config.n_layer)(*(self.layer(layer) for layer in weights.layers))
        table = weights.embedding if kind == "float32" else weights.embedding.bfloat16()
        self.model = Model(
            kind=KIND[kind],
            layers=config.n_layer,
            heads=config.n_head,
            key_heads=config.n_kv_head,
            width=config.n_embd,
            inner=config.n_inner,
            head_width=config.head_width,
            vocabulary=config.vocab_size,
            context=config.context_length,
            norm=NORM[config.norm],
            activation=ACTIVATION[config.feed_forward],
            rotated=config.rotary,
            eps=config.norm_eps,
            scale=config.scale,
            embedding_scale=weights.embedding_scale,
            residual_scale=config.residual_scale,
            embedding=self.keep(table),
            positions=self.keep(weights.positions),
            final_norm=self.vector(weights.final_norm.weight),
            final_norm_bias=self.vector(weights.final_norm.bias),
            layer=self.layers,
            head=self.linear(weights.head),
        )

    def layer(self, layer: LayerWeights) -> Layer:
        cosines, sines = layer.rope or (None, None)
        return Layer(
            window=layer.window,
            cosines=self.table(cosines),
            sines=self.table(sines),
            query_key_value=self.linear(layer.query_key_value),
            query_norm=self.vector(layer.query_norm),
            key_norm=self.vector(layer.key_norm),
            output=self.linear(layer.output),
            up=self.linear(layer.up if layer.gate is None else in_turn(layer.gate, layer.up)),
            down=self.linear(layer.down),
            **self.norm("attention_norm", layer.attention_norm),
            **self.norm("attention_post_norm", layer.attention_post_norm),
            **self.norm("feed_forward_norm", layer.feed_forward_norm),
            **self.norm("feed_forward_post_norm", layer.feed_forward_post_norm),
        )

    def norm(self, name: str, norm: Norm | None) -> dict[str, int | None]:
        if norm is None:
            return {}
        return {name: self.vector(norm.weight), f"{name}_bias": self.vector(norm.bias)}

    def table(self, values: Tensor | None) -> int | None:
        """The address of a table that many layers have: kept once."""
        if values is None:
            return None
        if values.data_ptr() not in self.shared:
            self.shared[values.data_ptr()] = self.keep(values)
        return self.shared[values.data_ptr()]

    def linear(self, matrix: Matrix) -> Linear:
        weight, scale = matrix.weight.cpu(), None
        outputs, inputs = weight.shape
        if self.kind == "int8":
            weight, scale = in_int8(weight)
        elif self.kind == "bfloat16":
            weight = weight.bfloat16()
        return Linear(
            weight=self.keep(panels(weight, self.kind)),
            bias=self.vector(matrix.bias),
            scale=self.vector(scale),
            outputs=outputs,
            inputs=inputs,
        )

    def vector(self, values: Tensor | None) -> int | None:
        """Filled up with zeros to a multiple of 16."""
        return None if values is None else self.keep(F.pad(values, (0, -values.size(0) % LANES)))

    def keep(self, values: Tensor | None) -> int | None:
        """Its address."""
        if values is None:
            return None
        self.kept.append(self.arena.copy(values.detach().cpu()))
        return self.kept[-1].data_ptr()


def in_turn(gate: Matrix, up: Matrix) -> Matrix:
    """16 outputs of the gate, 16 of the way up, and so on: they meet in one place."""
    weight = torch.stack([filled(gate.weight), filled(up.weight)], dim=1).flatten(0, 2)
    if gate.bias is None or up.bias is None:
        return Matrix(weight, None)
    biases = torch.stack([filled(gate.bias[:, None]), filled(up.bias[:, None])], dim=1)
    return Matrix(weight, biases.flatten())


def filled(weight: Tensor) -> Tensor:
    """(outputs, inputs) -> (panels, 16, inputs)"""
    return F.pad(weight, (0, 0, 0, -weight.size(0) % LANES)).unflatten(0, (-1, LANES))
