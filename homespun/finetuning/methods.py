"""The two ways to fine-tune: all weights of the model, or the matrices of LoRA beside frozen weights.

A method says what is saved, and how the best weights and the unchanged base model are had again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from homespun.checkpoint.adapter import (
    ADAPTER_WEIGHTS,
    Base,
    Change,
    modules_of,
    read_adapter_config,
    read_changes,
    write_adapter,
)
from homespun.checkpoint.folder import load_model, save_model
from homespun.checkpoint.place import WEIGHTS
from homespun.errors import UsageError
from homespun.finetuning.lora import add_lora, lora_parts
from homespun.kernels.recompute import recompute_blocks
from homespun.kernels.select import use_fine_tuning_kernels
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT
from homespun.planning.tuning_plan import TuningPlan
from homespun.tokenizer.tokenizer import Tokenizer

OpenBase = Callable[[torch.dtype], CausalLM]


class Method(Protocol):
    """weights_file: what is trained, in the run folder."""

    weights_file: str

    def save(self, out: Path, plan: TuningPlan, model: CausalLM, tokenizer: Tokenizer) -> None: ...

    def reopened(self, out: Path, plan: TuningPlan, model: CausalLM) -> CausalLM:
        """The model with the best weights, from the folder. model: the trained one."""
        ...

    @contextmanager
    def base_model(self, plan: TuningPlan, model: CausalLM) -> Iterator[CausalLM]:
        """A context with the unchanged base model. model: the trained one."""
        ...


@dataclass(frozen=True)
class FullWeights:
    """All weights are trained, in float32, and saved as a model folder.

    open_base: opens the base model in a given dtype.
    """

    open_base: OpenBase
    weights_file = WEIGHTS

    def save(self, out: Path, plan: TuningPlan, model: CausalLM, tokenizer: Tokenizer) -> None:
        save_model(out, model, tokenizer)

    def reopened(self, out: Path, plan: TuningPlan, model: CausalLM) -> CausalLM:
        return load_model(out, device=plan.device)[0]

    @contextmanager
    def base_model(self, plan: TuningPlan, model: CausalLM) -> Iterator[CausalLM]:
        yield self.open_base(torch.float32).to(plan.device)


@dataclass(frozen=True)
class LowRank:
    """LoRA: two small matrices beside each matrix of the blocks are trained, and saved as an adapter.

    base: the description of the base model for the adapter's folder.
    """

    base: Base
    weights_file = ADAPTER_WEIGHTS

    def save(self, out: Path, plan: TuningPlan, model: CausalLM, tokenizer: Tokenizer) -> None:
        changes = {
            name: Change(part.lora_A.detach(), part.lora_B.detach(), part.scale)
            for name, part in lora_parts(transformer(model)).items()
        }
        config = transformer(model).config
        write_adapter(out, config, changes, tokenizer, base=self.base, rank=plan.rank, alpha=plan.alpha)

    def reopened(self, out: Path, plan: TuningPlan, model: CausalLM) -> CausalLM:
        """The trained model itself, with its last LoRA matrices replaced by the best ones."""
        config = transformer(model).config
        changes = read_changes(out, read_adapter_config(out), config)
        places = {part: place for tensor in modules_of(config).values() for place, part in enumerate(tensor.parts)}
        with torch.no_grad():
            for name, part in lora_parts(transformer(model)).items():
                a, b = own_block(changes[name], places[name], plan.rank)
                part.lora_A.copy_(a)
                part.lora_B.copy_(b)
        return model

    @contextmanager
    def base_model(self, plan: TuningPlan, model: CausalLM) -> Iterator[CausalLM]:
        """The trained model, with the scale of its LoRA matrices at 0 inside the context."""
        parts = list(lora_parts(transformer(model)).values())
        scales = [part.scale for part in parts]
        for part in parts:
            part.scale = 0.0
        try:
            yield model
        finally:
            for part, scale in zip(parts, scales, strict=True):
                part.scale = scale


def prepared_model(plan: TuningPlan, open_base: OpenBase) -> CausalLM:
    """The base model before the first step: trainable parameters in float32, frozen ones in the plan's dtype."""
    dtype = getattr(torch, plan.dtype)
    model = open_base(dtype if plan.rank else torch.float32).to(plan.device)
    if isinstance(model, GPT):
        model.set_dropout(plan.dropout)  # whatever the base was trained with
    if plan.rank:
        four_bits = plan.method == "qlora"
        add_lora(transformer(model), rank=plan.rank, alpha=plan.alpha, dtype=dtype, four_bits=four_bits)
        if plan.quick:
            use_fine_tuning_kernels(transformer(model), plan.context_length)
    if plan.recompute and isinstance(model, GPT):
        recompute_blocks(model)
    return model


def transformer(model: CausalLM) -> GPT:
    """The model, if it has blocks whose matrices LoRA can change; else UsageError."""
    if not isinstance(model, GPT):
        raise UsageError(
            "LoRA changes the matrices of transformer blocks, and this model has none.", "Use --full."
        )
    return model


def own_block(change: Change, place: int, rank: int) -> tuple[Tensor, Tensor]:
    """A and B of one of our matrices, cut from those of a matrix in which it stands at that place."""
    if len(change.a) == rank:
        return change.a, change.b
    place *= rank
    return change.a[place : place + rank], change.b[:, place : place + rank]
