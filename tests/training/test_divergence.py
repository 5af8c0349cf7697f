"""Training that diverges is judged against what the run began with, which may be far above ln V."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.dataset.preparation import Dataset
from homespun.errors import TrainingError
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import build
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.clock import RunClock
from homespun.training.loop import DIVERGENCE, Diverged, Loop
from homespun.training.objective import NextToken
from homespun.training.recipe import Pretraining
from homespun.training.resume import POINT, folders, newest_point
from homespun.training.run import Run
from homespun.training.watcher import Progress, Record, Result, Watcher
from tests.training.conftest import small_plan
from tests.training.hooked import Hook, Hooked
from tests.training.test_resume import assert_same_run, stopped_at


def confident(model: CausalLM) -> CausalLM:
    """As if it had been trained on another text: sure of the wrong tokens."""
    with torch.no_grad():
        model.head.weight.mul_(1000.0)  # type: ignore[union-attr, operator]
    return model


def loop_of(plan: Plan, dataset: Dataset, hook: Hook | None = None, sure: bool = False) -> Loop[Plan]:
    torch.manual_seed(plan.seed)
    model = build(plan.config(dataset.vocab_size))
    objective = Hooked(plan, dataset, hook) if hook else NextToken(plan, dataset)
    model = confident(model) if sure else model
    return Loop(plan, model, objective, watcher=Watcher(), clock=RunClock(time.monotonic()))


class Confident(Pretraining):
    def build(self, plan: Plan) -> CausalLM:
        return confident(super().build(plan))


def confident_run(dataset: Dataset, tokenizer: Tokenizer, out: Path, **more: Any) -> Run[Plan, Result]:
    plan = small_plan(dataset, evaluate_every=10, optimizer="adamw", learning_rate=1e-2)
    asked = {"watcher": Watcher(), "sample": lambda model: "", "started": time.monotonic(), **more}
    return Run(plan, Confident(dataset, tokenizer, "a small book"), out, **asked)


def test_a_model_that_begins_far_above_ln_v_is_trained(dataset: Dataset) -> None:
    plan = small_plan(dataset, optimizer="adamw", learning_rate=1e-2)
    records = list(loop_of(plan, dataset, sure=True).run())
    assert records[0].val_loss > DIVERGENCE * math.log(dataset.vocab_size)
    assert records[-1].step == plan.steps and records[-1].val_loss < 0.8 * records[0].val_loss


def hard_batch(step: int, forward: Any, micro_batch: Any) -> Any:
    """One batch in the middle is much harder than the text otherwise is: of another language, say."""
    logits, loss = forward(*micro_batch)
    return logits, loss + 50.0 * (step == 7)


def test_a_hard_batch_is_no_divergence_where_the_validation_text_is_as_easy_as_before(dataset: Dataset) -> None:
    plan = small_plan(dataset, dropout=0.1, steps=20, evaluate_every=5)
    records, plain = (list(loop_of(plan, dataset, hook).run()) for hook in (hard_batch, None))
    assert [record.val_loss for record in records] == [record.val_loss for record in plain]


def exploding(step: int, forward: Any, micro_batch: Any) -> Any:
    """The weights have grown until the model is as bad as can be, in numbers that are finite."""
    if step == 7:
        with torch.no_grad():
            forward.model.head.weight.mul_(1e4)
    return forward(*micro_batch)


@pytest.mark.parametrize("sure", [False, True])
def test_a_loss_far_above_what_the_run_began_with_is_noticed_at_the_step(sure: bool, dataset: Dataset) -> None:
    loop = loop_of(small_plan(dataset, learning_rate=3e-3), dataset, exploding, sure)
    with pytest.raises(Diverged, match=r"Training diverged at step 8: loss \d.*, gradient norm \d") as error:
        list(loop.run())
    assert f"began with a validation loss of {loop.first_loss:.4g}" in error.value.what
    assert "--set learning_rate=0.0009" in error.value.todo


def test_after_the_smaller_learning_rate_a_still_smaller_one_is_advised(dataset: Dataset) -> None:
    plan = small_plan(dataset, learning_rate=3e-3).with_(lr_backoff_from=1)
    with pytest.raises(Diverged) as error:
        list(loop_of(plan, dataset, exploding).run())
    assert "--set learning_rate=0.0003" in error.value.todo


def test_a_model_whose_loss_is_no_number_is_refused_before_the_first_step(dataset: Dataset) -> None:
    loop = loop_of(small_plan(dataset), dataset)
    with torch.no_grad():
        loop.model.head.weight.fill_(math.nan)  # type: ignore[union-attr, operator]
    with pytest.raises(TrainingError, match="is nan before the first step") as error:
        list(loop.run())
    assert not isinstance(error.value, Diverged) and "--dtype float32" in error.value.todo


def test_a_run_that_goes_on_is_judged_against_what_it_began_with(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    confident_run(dataset, tokenizer, tmp_path / "whole").train()
    out = tmp_path / "run"
    for step in (1, 2, 3):
        stopped_at(step, confident_run(dataset, tokenizer, out, resume=step > 1)).train()
    again = confident_run(dataset, tokenizer, out, resume=True)
    again.train()
    assert_same_run(tmp_path / "whole", out)
    assert again.loop.first_loss == again.records[0].val_loss > DIVERGENCE * math.log(dataset.vocab_size)


def test_what_it_began_with_is_known_where_the_folder_was_removed_on_the_way(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    first: list[Record] = []

    class Remover(Watcher):
        def evaluated(self, record: Record, best: bool) -> None:
            first.append(record)

        def stepped(self, progress: Progress) -> None:
            if progress.step == 15:
                shutil.rmtree(out)

    confident_run(dataset, tokenizer, out, watcher=Remover()).train()
    found = newest_point(out, Plan)
    assert found is not None and found[0].records[0].step > 0
    assert found[0].first_loss == first[0].val_loss


def test_a_point_of_an_earlier_version_is_judged_by_its_first_evaluation(
    dataset: Dataset, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopped_at(5, confident_run(dataset, tokenizer, out)).train()
    path = folders(out)[0] / POINT
    content = json.loads(path.read_text())
    began_with = content.pop("first_loss")
    path.write_text(json.dumps(content))
    found = newest_point(out, Plan)
    assert found is not None and found[0].first_loss == began_with == content["records"][0]["val_loss"]
