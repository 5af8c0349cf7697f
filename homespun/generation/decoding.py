"""The fastest decoding step that there is here, and a whole model computed by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.generation.kv_blocks import blocks_for
from homespun.generation.paged import ModelStep
from homespun.generation.runner import SLOTS_AT_ONCE
from homespun.kernels.decoding.slots import BLOCK, DecodeStep, Slots
from homespun.kernels.rounding import multiplies_in_half
from homespun.machine.device import choose_dtype
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT

LARGE = 25_000_000  # parameters: 100 MB in float32

Note = Callable[[str], None]


def fastest_step(
    model: GPT, weights: str, blocks: int, *, wait: bool = False, note: Note = lambda line: None
) -> DecodeStep:
    """The C++ step where it suits, is there (wait: can be compiled now) and passes its check; else the model."""
    from homespun.kernels.decoding.kernel import native_step

    return native_step(model, weights, blocks, wait=wait, note=note) or ModelStep(model, weights, blocks, note)


def bytes_per_block(model: GPT, weights: str, *, wait: bool = False) -> int:
    """Memory of one block of the KV cache, in all layers, by the step that computes the model."""
    from homespun.kernels.decoding.kernel import DECODING, suits
    from homespun.kernels.decoding.native_step import bytes_per_number, numbers_in_a_block

    config = model.config
    if suits(model, weights) and DECODING.available(math.inf if wait else 0.0):
        return numbers_in_a_block(config) * bytes_per_number(weights)
    numbers = 2 * config.n_layer * config.n_kv_head * config.head_width * BLOCK
    weight = model.token_embedding.weight
    return numbers * (2 if multiplies_in_half(weight, weights) else weight.element_size())


def worthwhile_weights(model: CausalLM) -> str:
    """The kind of weights that is faster by so much that a person notices, and that is harmless for sure.

    A small model is fast anyway, so it is left as it is. The weights of a large one come from memory for every
    token, and half the bytes take half the time. On a CPU without the C++ step nothing is gained. int8 is for
    those who have measured: it added 0.0005 to the loss of a model of 1.4 million parameters that homespun had
    trained, and 0.055 to that of SmolLM2, where bfloat16 added nothing to either.
    """
    from homespun.kernels.decoding.source import STEP

    if not isinstance(model, GPT) or model.number_of_parameters() < LARGE:
        return "float32"
    if model.device.type == "cuda":
        return str(choose_dtype("auto", model.device)).removeprefix("torch.")
    return "bfloat16" if model.device.type == "cpu" and STEP.can_be_had() else "float32"


def decoded(model: CausalLM, weights: str, *, wait: bool = True) -> DecodedModel:
    """Raises ModelError for a bigram. wait: as for `Engine`."""
    if not isinstance(model, GPT):
        raise ModelError(
            "A bigram is a table that is looked up: nothing is multiplied, and nothing is gained by rounding.",
            "Leave the weights as they are.",
        )
    return DecodedModel(model, weights, wait=wait)


class DecodedModel(nn.Module):
    """A model as the engine computes it, with weights of a kind, to measure the loss that rounding them adds.

    It is called as the model itself is, and gives no gradients. wait: as for `Engine`.
    """

    def __init__(self, model: GPT, weights: str, *, wait: bool = True) -> None:
        super().__init__()
        self.config = model.config
        self.device = model.device
        self.table = list(range(blocks_for(model.config.context_length)))
        self.step = fastest_step(model, weights, len(self.table), wait=wait)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Any]:
        """ids, targets (B, T) -> logits (B, T, V) in float32, and the mean loss in nats per token."""
        logits = torch.stack([self.logits(text) for text in ids.tolist()]).to(self.device)
        return logits, None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def logits(self, ids: list[int]) -> Tensor:
        """(T, V), in chunks that a step has room for."""
        return torch.cat([self.chunk(ids, at) for at in range(0, len(ids), SLOTS_AT_ONCE)])

    def chunk(self, ids: list[int], at: int) -> Tensor:
        slots = Slots()
        slots.add(ids[at : at + SLOTS_AT_ONCE], at, self.table, wants_all=True)
        return self.step.logits(slots)
