"""Adapters of one base model, chosen for each sequence: texts with different ones are computed in one batch.

The base's products are computed once for all tokens; to those of each adapter its low-rank change is added
(Hu et al. 2021, arXiv 2106.09685; for many adapters at once Chen et al. 2023, arXiv 2310.18547).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from homespun.kernels.decoding.slots import Slots
from homespun.kernels.exchange import exchange
from homespun.model.gpt import GPT


@dataclass(frozen=True)
class LowRank:
    """The change of one matrix (out, in): + scale · b @ a. a (rank, in), b (out, rank)."""

    a: Tensor
    b: Tensor
    scale: float


# Name of an adapter -> name of a matrix, such as "blocks.0.attention.query.weight" -> its change.
Adapters = Mapping[str, Mapping[str, LowRank]]


@dataclass
class Assignment:
    """Which rows of a step belong to which adapter: for each of them, its rows (n), int64."""

    rows: dict[str, Tensor] = field(default_factory=dict)

    def assign(self, slots: Slots, device: torch.device) -> None:
        found: dict[str, list[int]] = {}
        for row, sequence in enumerate(slots.sequences):
            name = slots.adapters[sequence]
            if name is not None:
                found.setdefault(name, []).append(row)
        self.rows = {name: torch.tensor(rows, device=device) for name, rows in found.items()}


class AdaptedLinear(nn.Module):
    """A linear layer of the base with the changes of several adapters; `assignment` says which rows get which."""

    def __init__(self, base: nn.Module, changes: Mapping[str, LowRank], assignment: Assignment) -> None:
        super().__init__()
        self.base = base
        self.changes = dict(changes)
        self.assignment = assignment

    def forward(self, x: Tensor) -> Tensor:
        """x (1, N, in) -> (1, N, out)"""
        y: Tensor = self.base(x)
        for name, rows in self.assignment.rows.items():
            change = self.changes.get(name)
            if change is not None:
                y[0, rows] += (x[0, rows].to(change.a.dtype) @ change.a.t() @ change.b.t() * change.scale).to(
                    y.dtype
                )
        return y


def with_adapters(model: GPT, adapters: Adapters) -> GPT:
    """A copy of the model on the same weights, with these adapters. None of them changes a row by itself."""
    assignment = Assignment()

    def replacement(name: str, module: nn.Module) -> nn.Module | None:
        changes = {
            adapter: on(module, found)
            for adapter, matrices in adapters.items()
            if (found := matrices.get(f"{name}.weight")) is not None
        }
        return AdaptedLinear(module, changes, assignment) if changes else None

    return exchange(model, replacement, copy=True)


def on(module: nn.Module, change: LowRank) -> LowRank:
    """The change on the device of the matrix, in float32."""
    device = next(module.parameters()).device
    return LowRank(change.a.float().to(device), change.b.float().to(device), change.scale)


def assignment_of(model: nn.Module) -> Assignment | None:
    """What the adapted layers of the model ask; None where it has none."""
    return next((module.assignment for module in model.modules() if isinstance(module, AdaptedLinear)), None)
