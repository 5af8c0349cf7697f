"""The training loop for fine-tuning: batches of packed conversations, or of a text with separators."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from homespun.dataset.preparation import Dataset
from homespun.evaluation.loss import Evaluation, evaluate
from homespun.finetuning.learner import Learner
from homespun.model.mode import evaluation_mode
from homespun.planning.base_plan import BasePlan
from homespun.planning.tuning_plan import TuningPlan
from homespun.training.loop import Loop

TOKENS_AT_ONCE = 4096  # in a batch of an evaluation
FEWEST_FINAL_EVAL_TOKENS = 4096  # tokens of a text in the final evaluation
FINAL_EVAL_SHARE = 0.05  # of the training tokens


class TuningLoop(Loop):
    """A training loop for the base model; `learner` is that model with the documents of a row kept apart."""

    def __init__(
        self,
        plan: TuningPlan,
        model: Any,
        dataset: Any,
        *,
        separator: int | None,
        **others: Any,
    ) -> None:
        self.learner = Learner(model, plan.context_length, separator)
        super().__init__(plan, model, dataset, **others)

    def make_batches(self) -> Any:
        if self.reads_rows:
            from homespun.conversations.packing import PackedBatches

            rows: Any = self.dataset.train

            return PackedBatches(rows, self.plan.batch_size, self.plan.seed)
        return super().make_batches()

    @contextmanager
    def make_forward(self) -> Iterator[Callable[..., Any]]:
        yield self.learner

    def prepare(self, forward: Any) -> None:
        """Nothing is compiled during the run."""

    def loss_divisor(self, part: Sequence[Tensor], batch: Sequence[Tensor]) -> float:
        """The batch's targets / this micro-batch's targets: in conversations micro-batches differ in targets."""
        if not self.reads_rows:
            return self.plan.micro_batches
        counted, whole = (int((tensors[1] >= 0).sum()) for tensors in (part, batch))
        return whole / max(1, counted)

    @property
    def reads_rows(self) -> bool:
        """Whether the data are packed rows of conversations, not one text."""
        return not isinstance(self.dataset, Dataset)

    def read_all(self, model: nn.Module) -> Evaluation:
        """The final evaluation; on windows spread over the split, if it is long."""
        return self.read(model, final_eval_tokens(self.plan, self.dataset.val.tokens))

    def read(self, model: Any, tokens: int) -> Evaluation:
        """Evaluate on the validation split, or on `tokens` of it. model: the trained one, or one of that shape."""
        learner = (
            self.learner
            if model is self.model
            else Learner(model, self.plan.context_length, self.learner.separator)
        )
        if self.reads_rows:
            return evaluate_rows(learner, self.dataset.val, tokens, self.autocast)
        split = self.dataset.val
        windows = None if tokens >= split.tokens else max(1, tokens // self.plan.context_length)
        at_once = max(1, TOKENS_AT_ONCE // self.plan.context_length)
        return evaluate(learner, split, windows=windows, batch_size=at_once, autocast=self.autocast)


def final_eval_tokens(plan: BasePlan, held_out: int) -> int:
    """Tokens of each text in the final evaluation, which runs twice on each: few enough to take little time."""
    trained = plan.steps * plan.tokens_per_step
    return min(held_out, max(FEWEST_FINAL_EVAL_TOKENS, plan.eval_tokens, int(FINAL_EVAL_SHARE * trained)))


def evaluate_rows(learner: Learner, split: Any, tokens: int, autocast: Callable[[], Any]) -> Evaluation:
    """The mean loss of the answers in those rows, or in rows with about `tokens` of them, spread over all."""
    started = time.perf_counter()
    rows = len(split)
    wanted = rows if tokens >= split.tokens else max(1, rows * tokens // split.tokens)
    numbers = (2 * np.arange(wanted) + 1) * rows // (2 * wanted)
    device = next(learner.parameters()).device
    at_once = max(1, TOKENS_AT_ONCE // split.length)
    nats = counted = 0.0
    with evaluation_mode(learner), torch.no_grad(), autocast():
        for begin in range(0, wanted, at_once):
            batch = [tensor.to(device) for tensor in split.rows(numbers[begin : begin + at_once])]
            counts = int((batch[1] >= 0).sum())
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
