"""Which models the C++ decoding step computes, and the check that it passes before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from homespun.kernels.decoding.native_step import NativeStep, opened
from homespun.kernels.decoding.packing import ACTIVATION, KIND, NORM
from homespun.kernels.decoding.slots import Slots
from homespun.kernels.decoding.source import STEP
from homespun.kernels.decoding.weights import can_be_read
from homespun.kernels.kernel import NO_CONCERN, Kernel, any_value, one_of
from homespun.kernels.selfcheck import same_logits, sample_ids
from homespun.model.gpt import GPT
from homespun.model.mode import evaluation_mode

CHECKED = 5  # tokens


def available(at_most: float) -> bool:
    path = STEP.library(wait=at_most > 0, at_most=at_most)
    return path is not None and opened(path) is not None


DECODING = Kernel(
    "the C++ decoding step",
    frozenset({"cpu"}),
    frozenset(KIND),
    NO_CONCERN
    | {
        "norm": one_of("norm", *NORM),
        "feed_forward": one_of("feed_forward", *ACTIVATION),
        "position": one_of("position", "rotary", "learned"),
        "scale_by": one_of("scale_by", "head_width", "n_embd"),
        "qk_norm": one_of("qk_norm", True, False),
        "norm_place": one_of("norm_place", "before", "after", "both"),
    }
    | dict.fromkeys(
        (
            *("layers", "window", "local_base", "rotary_width", "attention_scale"),
            *("embedding_scale", "residual_scale", "logit_scale"),
        ),
        any_value,
    ),
    available,
)


def suits(model: GPT, weights: str) -> bool:
    """Whether the step computes that model: one of a config that it knows, in which no module was exchanged."""
    return DECODING.suits(model.config, model.device, weights) and can_be_read(model)


def native_step(
    model: GPT, weights: str, blocks: int, *, wait: bool, note: Callable[[str], None]
) -> NativeStep | None:
    """The C++ step with the model's weights; None where it does not suit, is not there or fails its check."""
    if not (suits(model, weights) and DECODING.available(math.inf if wait else 0.0)):
        return None
    path = STEP.library(wait=wait)
    library = None if path is None else opened(path)
    assert library is not None
    step = NativeStep(library, model, weights, blocks)
    if not blocks or computes_the_model(step, model, weights):  # without a block nothing is ever computed
        return step
    note(f"{DECODING.name} computes something else than the model here; PyTorch computes it")
    return None


@torch.inference_mode()
def computes_the_model(step: NativeStep, model: GPT, weights: str) -> bool:
    """Whether the logits of a few tokens are the model's, to the rounding of the weights."""
    ids = sample_ids(model, min(CHECKED, model.config.context_length))  # (1, N)
    with evaluation_mode(model):
        right = model(ids)[0][0]  # (N, V)
    if not right.isfinite().all():
        return True  # damaged weights give no numbers in either way
    slots = Slots()
    slots.add(ids[0].tolist(), 0, [0], wants_all=True)
    kind = weights if model.token_embedding.weight.dtype == torch.float32 or weights == "int8" else "bfloat16"
    return same_logits(step.logits(slots), right, kind)
