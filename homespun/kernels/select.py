"""Which kernels compute a model: those that suit it, that this machine has, and that pass the self-check.

A model that no kernel suits is computed as it is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from homespun.kernels.exchange import sharing_weights
from homespun.kernels.float32.modules import BLOCK, EMBEDDING_GRADIENT, HEAD
from homespun.kernels.head_loss import LOSS_IN_CHUNKS
from homespun.kernels.kernel import ModuleKernel
from homespun.kernels.projections import PROJECTIONS
from homespun.kernels.selfcheck import computes_gradients_of, same_logits, sample_ids
from homespun.kernels.training.modules import ATTENTION, EMBEDDING, LINEAR, SWIGLU
from homespun.model.config import ModelConfig
from homespun.model.gpt import GPT

# Of a whole training step, which is compiled; of a model that is fine-tuned, whose matrices multiply as before.
TRAINING = (EMBEDDING, LINEAR, ATTENTION, SWIGLU)
FINE_TUNING = (ATTENTION, SWIGLU)
EAGER = (LOSS_IN_CHUNKS,)  # of a training step on a GPU, compiled or not
STEP = (
    EMBEDDING_GRADIENT,
    BLOCK,
    HEAD,
)  # of a whole training step in float32, which is not compiled: these leave nothing to torch.compile

DECODING = (PROJECTIONS,)  # of a model that PyTorch decodes

WORTH_IT = 10_000_000  # parameters: a smaller model is fine-tuned before the C++ operations are compiled

Note = Callable[[str], None]


def suitable(
    kernels: Sequence[ModuleKernel],
    config: ModelConfig,
    device: torch.device | str,
    dtype: torch.dtype | str,
    at_most: float = math.inf,
) -> list[ModuleKernel]:
    """Those that compute a model of that config and are available.

    at_most: seconds to wait for what has to be compiled first.
    """
    return [kernel for kernel in kernels if kernel.suits(config, device, dtype) and kernel.available(at_most)]


def with_training_kernels(
    model: nn.Module,
    device: torch.device | str,
    dtype: torch.dtype,
    note: Note = lambda line: None,
    *,
    at_most: float = math.inf,
) -> nn.Module:
    """What computes a training step of the model fastest when it is compiled: on the same weights, or itself.

    at_most: seconds to wait for kernels that are not compiled yet.
    """
    if not isinstance(model, GPT):
        return model
    kernels = suitable((*TRAINING, *EAGER), model.config, device, dtype, at_most)
    return applied(model, kernels, dtype, note, copy=True)


def with_eager_kernels(
    model: nn.Module, device: torch.device | str, dtype: torch.dtype, note: Note = lambda line: None
) -> nn.Module:
    """What computes a training step until it is compiled, where no kernels of ours do: the model, on a CPU."""
    if not isinstance(model, GPT):
        return model
    return applied(model, suitable(EAGER, model.config, device, dtype), dtype, note, copy=True)


def with_step_kernels(
    model: nn.Module, device: torch.device | str, dtype: torch.dtype, note: Note = lambda line: None
) -> nn.Module:
    """What computes a training step of the model fastest without torch.compile: on the same weights, or itself."""
    if not isinstance(model, GPT):
        return model
    return applied(model, suitable(STEP, model.config, device, dtype), dtype, note, copy=True)


def computes_step(config: ModelConfig, device: str, dtype: str, at_most: float = 0.0) -> bool:
    """Whether the kernels of a step that is not compiled are there, and compute a model of that config.

    at_most: seconds to wait for kernels that are not compiled yet.
    """
    return len(suitable(STEP, config, device, dtype, at_most)) == len(STEP)


def use_fine_tuning_kernels(model: GPT, context_length: int, note: Note = lambda line: None) -> None:
    """Exchanges modules of a model that is fine-tuned on rows of that length, in place.

    Where the plan is of another machine that has them, the model computes the same without, to rounding.
    """
    config = model.config.with_(context_length=context_length)
    applied(model, suitable(FINE_TUNING, config, model.device, "bfloat16"), torch.bfloat16, note, copy=False)


@torch.inference_mode()
def with_decoding_kernels(model: GPT, note: Note = lambda line: None) -> GPT:
    """What PyTorch decodes with, on the same weights: a model in evaluation mode, or the model itself."""
    dtype = model.token_embedding.weight.dtype
    kernels = suitable(DECODING, model.config, model.device, dtype)
    other = sharing_weights(model)
    for kernel in kernels:
        kernel.apply(other)
    if [type(module) for module in other.modules()] == [type(module) for module in model.modules()]:
        return model  # such as one with LoRA, whose projections are no plain matrices
    ids = sample_ids(model, min(5, model.config.context_length))
    right = model(ids)[0][0]  # (N, V)
    kind = "float32" if dtype == torch.float32 else "bfloat16"
    if not right.isfinite().all() or same_logits(other(ids)[0][0], right, kind):
        return other
    note(f"the model is decoded without kernels: these compute something else here: {names_of(kernels)}")
    return model


def worth_compiling(config: ModelConfig, device: str, dtype: str, at_most: float = math.inf) -> bool:
    """Whether a fine-tuning gains from the kernels; where they can be had they are compiled now.

    That takes seconds, and minutes beside other programs. at_most: seconds to wait for it.
    """
    is_large = config.number_of_parameters() >= WORTH_IT
    return is_large and bool(suitable(FINE_TUNING, config, device, dtype, at_most))


def has_training_kernels(device: str, dtype: str, at_most: float = math.inf) -> bool:
    """Whether compiled training steps use kernels of our own there, for models that these suit.

    at_most: seconds to wait for kernels that are not compiled yet.
    """
    return all(
        device in kernel.devices and dtype in kernel.dtypes and kernel.available(at_most) for kernel in TRAINING
    )


def applied(model: GPT, kernels: Sequence[ModuleKernel], dtype: torch.dtype, note: Note, *, copy: bool) -> GPT:
    """The model with those kernels, if with them it computes what it is to compute."""

    def apply(target: GPT) -> GPT:
        for kernel in kernels:
            target = kernel.apply(target)
        return target

    if not kernels:
        return model
    if not computes_gradients_of(model, apply, dtype):
        note(f"the model is computed without kernels: these compute something else here: {names_of(kernels)}")
        return model
    return apply(sharing_weights(model).train() if copy else model)


def names_of(kernels: Sequence[ModuleKernel]) -> str:
    return ", ".join(kernel.name for kernel in kernels)
