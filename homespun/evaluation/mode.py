"""A model as it is evaluated: without dropout, where its weights are."""

from __future__ import annotations

import torch
from torch import nn

from homespun.model.mode import evaluation_mode as evaluation_mode


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are; a model without any computes on the CPU."""
    weight = next(model.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device
