"""What is prepared for fine-tuning is the plan's, whatever the base was trained with."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from homespun.errors import UsageError
from homespun.finetuning.methods import prepared_model
from homespun.model.causal_lm import CausalLM
from homespun.model.config import config_of
from homespun.model.gpt import build
from homespun.planning.tuning_plan import TuningPlan
from tests.model.shapes import FAMILY_NAMES as FAMILIES

IDS = torch.arange(24).view(2, 12) % 11


def plan_with(**values: Any) -> TuningPlan:
    asked = {"method": "full", "rank": 0, "context_length": 12, "steps": 1, "batch_size": 2}
    return TuningPlan(text=("a",), base="b", learning_rate=1e-3, warmup_steps=0, **{**asked, **values})


def base(family: str, dropout: float) -> CausalLM:
    torch.manual_seed(3)
    return build(
        config_of(family, vocab_size=11, n_layer=2, n_head=2, n_embd=16, context_length=12, dropout=dropout)
    )


def drops(model: CausalLM) -> bool:
    """Whether two passes in training mode differ."""
    model.train()
    with torch.no_grad():
        return not torch.equal(model(IDS)[0], model(IDS)[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [{}, {"method": "lora", "rank": 2}])
@pytest.mark.parametrize(("trained_with", "planned"), [(0.3, 0.0), (0.0, 0.3)])
def test_the_dropout_is_the_plans(family: str, method: Any, trained_with: float, planned: float) -> None:
    plan = plan_with(dropout=planned, **method)
    model = prepared_model(plan, lambda dtype: base(family, trained_with).to(dtype))
    assert drops(model) == bool(planned)
    assert model.config.dropout == planned


def test_a_plan_with_lora_for_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="LoRA changes the matrices of transformer blocks") as error:
        prepared_model(
            plan_with(method="lora", rank=2),
            lambda dtype: build(config_of("bigram", vocab_size=11, context_length=12)),
        )
    assert "--full" in error.value.todo
