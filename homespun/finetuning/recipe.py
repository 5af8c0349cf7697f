"""The recipe of `homespun finetune`: a pretrained model, evaluated before and after it is trained further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from homespun.conversations.splits import Conversations
from homespun.dataset.preparation import Dataset
from homespun.dataset.shards import Split
from homespun.evaluation.loss import Evaluation
from homespun.finetuning.card import tuning_card
from homespun.finetuning.learner import Learner
from homespun.finetuning.methods import Method, OpenBase, prepared_model
from homespun.finetuning.objectives import ConversationObjective, TextObjective, evaluate_text, final_eval_tokens
from homespun.model.causal_lm import CausalLM
from homespun.planning.tuning_plan import TuningPlan
from homespun.planning.tuning_planner import epochs
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.objective import autocast_of
from homespun.training.watcher import Record, Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINAL_EVAL_PASSES = 2.0  # evaluations of the user's text: with the base model, and with the tuned one


@dataclass(frozen=True)
class TuningResult(Result):
    """The result of a fine-tuning; `before` means the base model, evaluated on exactly the same text.

    trainable_parameters        number of trainable parameters, of all the `parameters`
    general_before, general     bits per byte of a general text, which show what the model has forgotten
    """

    val_loss_before: float = 0.0
    bits_per_byte_before: float = 0.0
    general_before: float = 0.0
    general: float = 0.0
    sample_before: str = ""
    trainable_parameters: int = 0
    method: str = "lora"


class FineTuning:
    """A pretrained model, on a text or on conversations.

    open_base   opens the base model in a given dtype
    method      what of it is saved, and how
    separator   the separator id between documents of a text, if there are several
    general     a text that is unrelated to the user's
    sample      generates a few lines with a model
    """

    plan_type = TuningPlan
    final_samples = 2  # before and after fine-tuning

    def __init__(
        self,
        dataset: Dataset | Conversations,
        tokenizer: Tokenizer,
        title: str,
        *,
        open_base: OpenBase,
        method: Method,
        separator: int | None,
        general: Split,
        sample: Callable[[CausalLM], str],
    ) -> None:
        self.dataset = dataset
        self.tokenizer = tokenizer
        self.title = title
        self.open_base = open_base
        self.method = method
        self.separator = separator
        self.general = general
        self.sample = sample
        self.weights_file = method.weights_file

    def build(self, plan: TuningPlan) -> CausalLM:
        return prepared_model(plan, self.open_base)

    def objective(self, plan: TuningPlan) -> TextObjective | ConversationObjective:
        if isinstance(self.dataset, Conversations):
            return ConversationObjective(plan, self.dataset)
        return TextObjective(plan, self.dataset, self.separator)

    def parameters(self, plan: TuningPlan, model: CausalLM) -> int:
        return model.config.number_of_parameters() + (plan.trainable_parameters if plan.rank else 0)

    def final_evaluations(self, plan: TuningPlan) -> float:
        """Time of the final evaluations, on the user's text and the general one, each before and after tuning."""
        val_tokens = self.dataset.val.tokens
        final = final_eval_tokens(plan, val_tokens)
        general = min(final, self.general.tokens)
        return FINAL_EVAL_PASSES * (final + general) / min(val_tokens, plan.eval_tokens or val_tokens)

    def most_steps(self, plan: TuningPlan) -> float:
        """As many as the epochs after which the model only overfits."""
        tokens = epochs(plan.conversations) * self.objective(plan).epoch_tokens
        return max(1, int(tokens / plan.tokens_per_step))

    def followed(self, plan: TuningPlan, model: CausalLM) -> NDArray[np.int64]:
        """None: fine-tuning hardly changes an embedding."""
        return np.empty(0, np.int64)

    def save(self, out: Path, plan: TuningPlan, model: CausalLM) -> None:
        self.method.save(out, plan, model, self.tokenizer)

    def reopened(self, out: Path, plan: TuningPlan, model: CausalLM) -> CausalLM:
        return self.method.reopened(out, plan, model)

    def result(self, result: Result, plan: TuningPlan, model: CausalLM, first: Record) -> TuningResult:
        """Evaluates the base model on as much of the text as the tuned one, and both on the general text."""
        general = self.general_loss(plan, model)
        with self.method.base_model(plan, model) as base:
            before: Record | Evaluation = first
            val_loss_before = first.val_loss
            if first.val_tokens != result.val_tokens:
                before = evaluation = self.objective(plan).evaluate(base, result.val_tokens)
                val_loss_before = evaluation.loss
            return TuningResult(
                **vars(result),
                val_loss_before=val_loss_before,
                bits_per_byte_before=before.bits_per_byte,
                general_before=self.general_loss(plan, base).bits_per_byte,
                general=general.bits_per_byte,
                sample_before=self.sample(base),
                trainable_parameters=plan.trainable_parameters,
                method=plan.method,
            )

    def general_loss(self, plan: TuningPlan, model: CausalLM) -> Evaluation:
        length = plan.context_length
        windows = max(1, final_eval_tokens(plan, self.dataset.val.tokens) // length)
        return evaluate_text(Learner(model, length), self.general, windows, autocast_of(plan))

    def card(self, plan: TuningPlan, result: TuningResult) -> str:
        return tuning_card(plan, result, self.dataset, self.title)
