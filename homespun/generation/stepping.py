"""The quickest step that there is here, and a whole model computed by it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.generation.pages import pages_for
from homespun.generation.reading import ROWS_AT_ONCE
from homespun.kernels.decoding.rows import Rows, Step
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT

LARGE = 25_000_000  # parameters: 100 MB in float32


def quickest_step(model: GPT, weights: str, pages: int, *, wait: bool = False) -> Step:
    """The compiled step where it is there, or (wait) can be made now; else the one in PyTorch."""
    from homespun.generation.torch_step import TorchStep
    from homespun.kernels.decoding.native_step import NativeStep, opened
    from homespun.kernels.decoding.source import STEP

    path = STEP.library(wait=wait) if model.device.type == "cpu" else None
    found = None if path is None else opened(path)
    return TorchStep(model, weights, pages) if found is None else NativeStep(found, model, weights, pages)


def worthwhile_weights(model: CausalLM) -> str:
    """The kind of weights that is quicker by so much that a person notices, and that is harmless for sure.

    A small model is quick anyway, so it is left as it is. The weights of a large one come from memory for every
    token, and half the bytes take half the time. Without the compiled step nothing is gained. int8 is for those
    who have looked: it added 0.0005 to the loss of a model of 1.4 million parameters that homespun had trained,
    and 0.055 to that of SmolLM2, where bfloat16 added nothing to either.
    """
    from homespun.kernels.decoding.source import STEP

    large = isinstance(model, GPT) and model.number_of_parameters() >= LARGE
    return "bfloat16" if large and model.device.type == "cpu" and STEP.can_be_had() else "float32"


def stepped(model: CausalLM, weights: str) -> Stepped:
    """Raises ModelError for a bigram."""
    if not isinstance(model, GPT):
        raise ModelError(
            "A bigram is a table that is looked up: nothing is multiplied, and nothing is gained by rounding.",
            "Leave the weights as they are.",
        )
    return Stepped(model, weights)


class Stepped(nn.Module):
    """A model as the engine computes it, with weights of a kind: what rounding them costs is measured on this.

    It is called as the model itself is, and gives no gradients. wait: as for `Engine`.
    """

    def __init__(self, model: GPT, weights: str, *, wait: bool = True) -> None:
        super().__init__()
        self.config = model.config
        self.device = model.device
        self.table = list(range(pages_for(model.config.context_length)))
        self.step = quickest_step(model, weights, len(self.table), wait=wait)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Any]:
        """ids, targets (B, T) -> logits (B, T, V) in float32, and the mean loss in nats per token."""
        logits = torch.stack([self.logits(text) for text in ids.tolist()]).to(self.device)
        return logits, None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def logits(self, ids: list[int]) -> Tensor:
        """(T, V), in parts that the step has room for."""
        return torch.cat([self.part(ids, at) for at in range(0, len(ids), ROWS_AT_ONCE)])

    def part(self, ids: list[int], at: int) -> Tensor:
        rows = Rows()
        rows.add(ids[at : at + ROWS_AT_ONCE], at, self.table, wants=False)
        rows.wanted = list(range(len(rows.ids)))
        return self.step.logits(rows)
