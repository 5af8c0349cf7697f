"""A kernel: a faster way to compute what `homespun/model` says, and what it is made for.

A kernel names every setting of a model, and which of its values it computes. A setting that it does not name, such
as one that a later version adds, excludes it: the model is then computed as it is written. A model that leaves the
setting at a default that changes nothing is the model that the kernel was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

import torch

from homespun.kernels.exchange import M, Replacement, exchange
from homespun.model.config import GPTConfig, ModelConfig

Condition = Callable[[GPTConfig], bool]


def any_value(config: GPTConfig) -> bool:
    """The kernel computes every value of that setting."""
    return True


def usual_value(field: Field[Any]) -> Condition:
    """The kernel computes a model that makes no use of that setting: one with its default."""
    return lambda config: getattr(config, field.name) == field.default


# The settings of a model that there are. Where one does not concern a kernel, its value does not matter to it. A
# setting that stands here by no name is computed at its default only, with which it changes nothing.
NO_CONCERN: dict[str, Condition] = {field.name: usual_value(field) for field in fields(GPTConfig)} | dict.fromkeys(
    (
        *("family", "vocab_size", "context_length", "n_layer", "n_head", "n_kv_head", "n_embd", "n_inner"),
        *("head_width", "norm", "norm_eps", "position", "feed_forward", "qk_norm", "qkv_bias", "bias"),
        *("head_bias", "scale_by", "tied_head", "rotary_base", "rope_scaling", "dropout"),
    ),
    any_value,
)

# What other people's models have around the single layers: it does not matter to a kernel of one layer.
ELSEWHERE: dict[str, Condition] = dict.fromkeys(
    (
        *("layers", "window", "local_base", "rotary_width", "norm_place", "parallel", "attention_scale"),
        *("embedding_scale", "residual_scale", "logit_scale"),
    ),
    any_value,
)


@dataclass(frozen=True)
class Kernel:
    """
    name       as notes say it: "the C++ attention"
    devices    types of device that it is for: "cpu", "cuda"
    dtypes     what products are computed in: "float32", "bfloat16"; for decoding, what weights are rounded to
    settings   for each setting of a config, whether the kernel computes its value
    available  whether this machine has it; its argument: seconds to wait for it to be compiled, 0 for not at all
    """

    name: str
    devices: frozenset[str]
    dtypes: frozenset[str]
    settings: Mapping[str, Condition]
    available: Callable[[float], bool]

    def suits(self, config: ModelConfig, device: torch.device | str, dtype: torch.dtype | str) -> bool:
        """Whether it computes a model of that config, there and in that dtype."""
        return (
            isinstance(config, GPTConfig)
            and torch.device(device).type in self.devices
            and str(dtype).removeprefix("torch.") in self.dtypes
            and all(self.knows(config, field.name) for field in fields(config))
        )

    def knows(self, config: GPTConfig, setting: str) -> bool:
        condition = self.settings.get(setting)
        return condition is not None and condition(config)


@dataclass(frozen=True)
class ModuleKernel(Kernel):
    """A kernel that takes the place of single modules; `replacement` is for `exchange`."""

    replacement: Replacement

    def apply(self, model: M, *, copy: bool = False) -> M:
        """The model with its modules exchanged, in place or on a copy that shares the weights."""
        return exchange(model, self.replacement, copy=copy)


def one_of(setting: str, *values: Any) -> Condition:
    """The kernel computes these values of a setting."""
    return lambda config: getattr(config, setting) in values


def always(at_most: float) -> bool:
    """Of a kernel that is written in PyTorch."""
    return True
