"""The two objectives of fine-tuning: the answers of conversations, and a text of several documents."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from homespun.conversations.packing import PackedBatches, PackedSplit
from homespun.conversations.splits import Conversations
from homespun.dataset.preparation import Dataset
from homespun.dataset.shards import Split
from homespun.evaluation.loss import Evaluation, evaluate
from homespun.finetuning.learner import Learner
from homespun.model.causal_lm import CausalLM
from homespun.model.mode import evaluation_mode
from homespun.planning.tuning_plan import TuningPlan
from homespun.training.objective import Autocast, EagerForward, Windows, autocast_of, windows_for
from homespun.training.watcher import Watcher

TOKENS_AT_ONCE = 4096  # in a batch of an evaluation
FEWEST_FINAL_EVAL_TOKENS = 4096  # tokens of a text in the final evaluation
FINAL_EVAL_SHARE = 0.05  # of the training tokens


class TextObjective(Windows):
    """Predict the next token of a text, whose documents do not attend to each other.

    separator   the id between documents; None if there is only one document
    """

    def __init__(self, plan: TuningPlan, dataset: Dataset, separator: int | None) -> None:
        super().__init__(plan, dataset)
        self.separator = separator
        self.epoch_tokens = dataset.train.tokens

    def forward(self, model: CausalLM, watcher: Watcher) -> EagerForward:
        return EagerForward(self.learner(model))

    def evaluate(self, model: CausalLM, tokens: int) -> Evaluation:
        windows = windows_for(tokens, self.val_tokens, self.context_length)
        return evaluate_text(self.learner(model), self.dataset.val, windows, self.autocast)

    def final_eval_tokens(self, plan: TuningPlan) -> int:
        return final_eval_tokens(plan, self.val_tokens)

    def learner(self, model: CausalLM) -> Learner:
        return Learner(model, self.context_length, self.separator)


class ConversationObjective:
    """Predict the answers of conversations, several of which share a row without attending to each other."""

    def __init__(self, plan: TuningPlan, dataset: Conversations) -> None:
        self.val = dataset.val
        self.vocab_size = dataset.vocab_size
        self.val_tokens = dataset.val.tokens
        self.epoch_tokens = len(dataset.train) * plan.context_length  # rows count with their padding
        self.context_length = plan.context_length
        self.autocast = autocast_of(plan)
        self.batches = PackedBatches(dataset.train, plan.batch_size, plan.seed)

    def batch(self, step: int) -> Sequence[Tensor]:
        return self.batches[step]

    def targets(self, batch: Sequence[Tensor]) -> int:
        return int((batch[1] >= 0).sum())

    def forward(self, model: CausalLM, watcher: Watcher) -> EagerForward:
        return EagerForward(Learner(model, self.context_length))

    def evaluate(self, model: CausalLM, tokens: int) -> Evaluation:
        return evaluate_rows(Learner(model, self.context_length), self.val, tokens, self.autocast)

    def final_eval_tokens(self, plan: TuningPlan) -> int:
        return final_eval_tokens(plan, self.val_tokens)


def final_eval_tokens(plan: TuningPlan, val_tokens: int) -> int:
    """Tokens of each text in the final evaluation, which runs twice on each: few enough to take little time."""
    trained = plan.steps * plan.tokens_per_step
    return min(val_tokens, max(FEWEST_FINAL_EVAL_TOKENS, plan.eval_tokens, int(FINAL_EVAL_SHARE * trained)))


def evaluate_text(learner: Learner, split: Split, windows: int | None, autocast: Autocast) -> Evaluation:
    """The mean loss on a text, or on so many windows of it, spread evenly."""
    at_once = max(1, TOKENS_AT_ONCE // learner.config.context_length)
    return evaluate(learner, split, windows=windows, batch_size=at_once, autocast=autocast)


def evaluate_rows(learner: Learner, split: PackedSplit, tokens: int, autocast: Autocast) -> Evaluation:
    """The mean loss of the answers in those rows, or in rows with about `tokens` of them, spread over all."""
    started = time.perf_counter()
    rows = len(split)
    wanted = rows if tokens >= split.tokens else max(1, rows * tokens // split.tokens)
    numbers = (2 * np.arange(wanted) + 1) * rows // (2 * wanted)
    at_once = max(1, TOKENS_AT_ONCE // split.length)
    nats = counted = 0.0
    with evaluation_mode(learner), torch.no_grad(), autocast():
        for begin in range(0, wanted, at_once):
            batch = split.rows(numbers[begin : begin + at_once])
            counts = int((batch.targets >= 0).sum())
            nats += float(learner(*batch)[1]) * counts
            counted += counts
    loss = nats / max(1.0, counted)
    bits = loss / math.log(2)
    return Evaluation(
        loss=loss,
        tokens=int(counted),
        characters=split.characters,
        bytes=split.bytes,
        bits_per_char=bits * split.tokens / max(1, split.characters),
        bits_per_byte=bits * split.tokens / max(1, split.bytes),
        perplexity=math.exp(min(loss, 700)),
        seconds=time.perf_counter() - started,
        whole=wanted == rows,
        stride=split.length,
        context_length=split.length,
    )
