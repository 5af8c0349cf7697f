"""A fine-tuning run: a training run with a pretrained model, and another folder layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from homespun.checkpoint.adapter import (
    ADAPTER_WEIGHTS,
    Base,
    Change,
    read_adapter_config,
    read_changes,
    write_adapter,
)
from homespun.checkpoint.folder import save_model
from homespun.checkpoint.place import WEIGHTS
from homespun.dataset.preparation import Dataset
from homespun.dataset.shards import Split
from homespun.evaluation.loss import Evaluation, evaluate
from homespun.finetuning.card import tuning_card
from homespun.finetuning.learner import Learner
from homespun.finetuning.loop import TOKENS_AT_ONCE, TuningLoop, final_eval_tokens
from homespun.finetuning.lora import LoRALinear, add_lora, lora_parts
from homespun.kernels.recompute import recompute_blocks
from homespun.kernels.select import use_fine_tuning_kernels
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT
from homespun.planning.tuning_plan import TuningPlan
from homespun.planning.tuning_planner import epochs
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.run import Run
from homespun.training.watcher import Result

FINAL_EVAL_PASSES = 2.0  # evaluations of the user's text: with the base model, and with the tuned one


@dataclass(frozen=True)
class TuningResult(Result):
    """The result of a fine-tuning; `before` means the base model, evaluated on exactly the same text.

    trainable_parameters          number of trainable parameters, of all the `parameters`
    general_before, general     bits per byte of a general text, which show what the model has forgotten
    """

    val_loss_before: float = 0.0
    bits_per_byte_before: float = 0.0
    general_before: float = 0.0
    general: float = 0.0
    sample_before: str = ""
    trainable_parameters: int = 0
    method: str = "lora"


class TuningRun(Run):
    """A fine-tuning run. In addition to the arguments of a run:

    open_base   opens the base model in a given dtype
    base        the description of the base for the adapter's folder
    separator      the separator id between documents of a text, if there are several
    general     a text that is unrelated to the user's
    """

    plan_kind = TuningPlan
    final_samples = 2  # before and after fine-tuning
    plan: TuningPlan
    loop: TuningLoop

    def __init__(
        self,
        plan: TuningPlan,
        dataset: Any,
        tokenizer: Tokenizer,
        out: Path,
        *,
        open_base: Callable[[torch.dtype], CausalLM],
        base: Base,
        separator: int | None,
        general: Split,
        **others: Any,
    ) -> None:
        super().__init__(plan, dataset, tokenizer, out, **others)
        self.open_base = open_base
        self.base = base
        self.separator = separator
        self.general = general
        self.weights_file = WEIGHTS if plan.method == "full" else ADAPTER_WEIGHTS

    def make_model(self) -> nn.Module:
        return prepared_model(self.plan, self.open_base)

    def make_loop(self, **asked: Any) -> TuningLoop:
        return TuningLoop(self.plan, self.model, self.dataset, separator=self.separator, **asked)

    def final_evaluations(self) -> float:
        """Time of the final evaluations, on the user's text and the general one, each before and after tuning."""
        held_out = self.dataset.val.tokens
        closing = final_eval_tokens(self.plan, held_out)
        general = min(closing, self.general.tokens)
        return FINAL_EVAL_PASSES * (closing + general) / min(held_out, self.plan.eval_tokens or held_out)

    def most_steps(self) -> float:
        return most_steps(self.plan, self.dataset)

    def parameters(self) -> int:
        assert isinstance(self.model, CausalLM)
        return self.model.config.number_of_parameters() + (self.plan.trainable_parameters if self.plan.rank else 0)

    def save(self) -> None:
        assert isinstance(self.model, CausalLM)
        if self.plan.rank == 0:
            save_model(self.out, self.model, self.tokenizer)
            return
        assert isinstance(self.model, GPT)
        changes = {
            name: Change(part.lora_A.detach(), part.lora_B.detach(), part.scale)
            for name, part in lora_parts(self.model).items()
        }
        write_adapter(
            self.out,
            self.model.config,
            changes,
            self.tokenizer,
            base=self.base,
            rank=self.plan.rank,
            alpha=self.plan.alpha,
        )

    def reopened(self) -> nn.Module:
        """With LoRA, the trained model itself, with its last LoRA matrices replaced by the best ones."""
        if self.plan.rank == 0:
            return super().reopened()
        assert isinstance(self.model, GPT)
        changes = read_changes(self.out, read_adapter_config(self.out), self.model.config)
        with torch.no_grad():
            for name, part in lora_parts(self.model).items():
                a, b = own_block(changes[name], name, self.plan.rank)
                part.lora_A.copy_(a)
                part.lora_B.copy_(b)
        return self.model

    @contextmanager
    def as_it_was(self) -> Iterator[nn.Module]:
        """A context with the unchanged base model."""
        if self.plan.rank == 0:
            yield self.open_base(torch.float32).to(self.plan.device)
            return
        parts = [part for part in self.model.modules() if isinstance(part, LoRALinear)]
        scales = [part.scale for part in parts]
        for part in parts:
            part.scale = 0.0
        try:
            yield self.model
        finally:
            for part, scale in zip(parts, scales, strict=True):
                part.scale = scale

    def result(self, interrupted: bool) -> TuningResult:
        found = super().result(interrupted)
        model = self.reopened()
        tokens = found.val_tokens
        general = self.general_loss(model)
        with self.as_it_was() as base:
            first = self.records[0]
            before: Any = first if first.val_tokens == tokens else self.loop.read(base, tokens)
            return TuningResult(
                **vars(found),
                val_loss_before=first.val_loss if before is first else before.loss,
                bits_per_byte_before=before.bits_per_byte,
                general_before=self.general_loss(base).bits_per_byte,
                general=general.bits_per_byte,
                sample_before=self.sample(base),
                trainable_parameters=self.plan.trainable_parameters,
                method=self.plan.method,
            )

    def general_loss(self, model: nn.Module) -> Evaluation:
        learner = Learner(model, self.plan.context_length)  # type: ignore[arg-type]
        at_once = max(1, TOKENS_AT_ONCE // self.plan.context_length)
        windows = max(1, final_eval_tokens(self.plan, self.dataset.val.tokens) // self.plan.context_length)
        return evaluate(learner, self.general, windows=windows, batch_size=at_once, autocast=self.loop.autocast)

    def card(self, result: Result) -> str:
        assert isinstance(result, TuningResult)
        return tuning_card(self.plan, result, self.dataset, self.title)


def prepared_model(plan: TuningPlan, open_base: Callable[[torch.dtype], Any]) -> CausalLM:
    """The base model before the first step: trainable parameters in float32, frozen ones in the compute dtype."""
    computed_in = getattr(torch, plan.dtype)
    model = open_base(torch.float32 if plan.rank == 0 else computed_in).to(plan.device)
    set_dropout(model, plan.dropout)
    if plan.rank:
        assert isinstance(model, GPT)
        four_bits = plan.method == "qlora"
        add_lora(model, rank=plan.rank, alpha=plan.alpha, dtype=computed_in, four_bits=four_bits)
    if plan.quick and plan.rank and isinstance(model, GPT):
        use_fine_tuning_kernels(model, plan.context_length)
    if plan.recompute and isinstance(model, GPT):
        recompute_blocks(model)
    return model


def set_dropout(model: nn.Module, share: float) -> None:
    """Set the plan's dropout, whatever the base was trained with."""
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = share
        elif isinstance(getattr(part, "dropout", None), float):
            part.dropout = share  # type: ignore[assignment]


def own_block(change: Change, name: str, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B of one of our matrices, cut from an adapter's fused query-key-value matrices (GPT-2)."""
    if len(change.a) == rank:
        return change.a, change.b
    place = rank * ("query", "key", "value").index(name.split(".")[-2])
    return change.a[place : place + rank], change.b[:, place : place + rank]


def most_steps(plan: TuningPlan, dataset: Any) -> float:
    """Limit on steps even if there is time left: after that the model only overfits."""
    return max(1, int(epochs(plan.conversations) * tokens_of(dataset, plan.context_length) / plan.tokens_per_step))


def tokens_of(dataset: Any, length: int) -> int:
    """Tokens of one epoch; rows of conversations count with their padding."""
    return dataset.train.tokens if isinstance(dataset, Dataset) else len(dataset.train) * length
