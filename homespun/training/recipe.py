"""What a run trains and what it leaves in its folder: `Pretraining` here, fine-tuning in its own room."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from homespun.checkpoint.embedding_history import most_rows
from homespun.checkpoint.folder import load_model, save_model
from homespun.checkpoint.place import WEIGHTS
from homespun.dataset.preparation import Dataset
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT, build
from homespun.planning.evaluations import final_evaluations
from homespun.planning.plan import Plan
from homespun.planning.search import LONGER, enough_steps
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.card import model_card
from homespun.training.objective import NextToken, Objective, P
from homespun.training.watcher import Record, Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

R = TypeVar("R", bound=Result)
MOST_COUNTED = 2**22  # tokens of the training text, for which of them are frequent


class Recipe(Protocol[P, R]):
    """What `Run` needs to know of the model, the data and the folder.

    plan_type       the class of its plans
    title           of the text, for the curve and the model card
    weights_file    the best weights, in the run folder
    final_samples   samples that are generated when the run has ended
    """

    plan_type: type[P]
    title: str
    weights_file: str
    final_samples: int

    def build(self, plan: P) -> CausalLM:
        """The model before the first step, on the plan's device."""
        ...

    def objective(self, plan: P) -> Objective[P]: ...

    def parameters(self, plan: P, model: CausalLM) -> int:
        """Number of parameters of the whole model."""
        ...

    def final_evaluations(self, plan: P) -> float:
        """The time of the final evaluation, in units of one evaluation during the run."""
        ...

    def most_steps(self, plan: P) -> float:
        """Limit on steps, even if there is time left."""
        ...

    def followed(self, plan: P, model: CausalLM) -> NDArray[np.int64]:
        """The ids whose embedding is written at each evaluation: (N), none where it is not."""
        ...

    def save(self, out: Path, plan: P, model: CausalLM) -> None:
        """Save the current weights to the folder."""
        ...

    def reopened(self, out: Path, plan: P, model: CausalLM) -> CausalLM:
        """The model with the best weights, from the folder."""
        ...

    def result(self, result: Result, plan: P, model: CausalLM, first: Record) -> R:
        """What else the user wants to know. model: with the best weights. first: the first evaluation."""
        ...

    def card(self, plan: P, result: R) -> str:
        """The model card of the folder, in Markdown."""
        ...


class Pretraining:
    """A model from scratch, on a text: the recipe of `homespun train`."""

    plan_type = Plan
    weights_file = WEIGHTS
    final_samples = 1

    def __init__(self, dataset: Dataset, tokenizer: Tokenizer, title: str) -> None:
        self.dataset = dataset
        self.tokenizer = tokenizer
        self.title = title

    def build(self, plan: Plan) -> CausalLM:
        return build(plan.config(self.tokenizer.vocab_size)).to(plan.device)

    def objective(self, plan: Plan) -> Objective[Plan]:
        return NextToken(plan, self.dataset)

    def parameters(self, plan: Plan, model: CausalLM) -> int:
        return model.config.number_of_parameters()

    def final_evaluations(self, plan: Plan) -> float:
        return final_evaluations(plan, self.dataset.val.tokens)

    def most_steps(self, plan: Plan) -> float:
        """As many as the text is long enough for. An extended run has no limit: its user wants more training."""
        if plan.extended:
            return math.inf
        config = plan.config(self.tokenizer.vocab_size)
        return LONGER * enough_steps(config, plan.tokens_per_step, self.dataset.train.tokens)

    def followed(self, plan: Plan, model: CausalLM) -> NDArray[np.int64]:
        """All ids, or the most frequent ones of a large vocabulary; none of a bigram, which has no embedding."""
        if not isinstance(model, GPT):
            return np.empty(0, np.int64)
        rows = most_rows(model.config.n_embd)
        if self.tokenizer.vocab_size <= rows:
            return np.arange(self.tokenizer.vocab_size)
        counts = np.bincount(self.dataset.train.ids[:MOST_COUNTED], minlength=self.tokenizer.vocab_size)
        return np.sort(np.argsort(-counts, kind="stable")[:rows])

    def save(self, out: Path, plan: Plan, model: CausalLM) -> None:
        save_model(out, model, self.tokenizer)

    def reopened(self, out: Path, plan: Plan, model: CausalLM) -> CausalLM:
        return load_model(out, device=plan.device)[0]

    def result(self, result: Result, plan: Plan, model: CausalLM, first: Record) -> Result:
        return result

    def card(self, plan: Plan, result: Result) -> str:
        return model_card(plan, result, self.dataset, self.title)
