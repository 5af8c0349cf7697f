"""The model in the paged context: any model, in the dtype of its weights, whatever modules it has."""

from __future__ import annotations

import pytest
import torch

from homespun.errors import ModelError
from homespun.finetuning.lora import add_lora, lora_parts
from homespun.generation.engine import Engine
from homespun.generation.paged import ModelStep
from homespun.generation.request import Request
from homespun.generation.runner import PagedRunner
from homespun.generation.settings import Sampling
from homespun.kernels.decoding.slots import Slots
from homespun.model.gpt import GPT
from tests.generation.models import CONTEXT, prompt_of, sure_model

LIKELIEST = Sampling(temperature=0)


def model_of(family: str) -> GPT:
    model = sure_model(family)
    assert isinstance(model, GPT)
    return model


def slots_of(ids: list[int], position: int = 0) -> Slots:
    slots = Slots()
    slots.add(ids, position, [0, 1, 2, 3], wants=False)
    slots.wanted = list(range(len(ids)))
    return slots


def storages(model: torch.nn.Module) -> set[int]:
    return {weight.untyped_storage().data_ptr() for weight in model.parameters()}


@pytest.mark.parametrize("family", ["modern", "gpt2"])
def test_a_model_in_bfloat16_is_decoded_in_bfloat16_on_its_own_weights(family: str) -> None:
    """As on a GPU: no weight is copied, none is cast, and keys and values are bfloat16."""
    model = model_of(family).bfloat16()
    step = ModelStep(model, "float32", 3)
    ids = prompt_of(CONTEXT)
    with torch.inference_mode():
        expected = model(torch.tensor([ids]))[0][0].float()
    found = torch.cat([step.logits(slots_of(ids[:20])), step.logits(slots_of(ids[20:], 20))])
    assert (found - expected).norm() < 0.03 * expected.norm()
    assert {kept.dtype for layer in step.cache.layers.values() for kept in layer} == {torch.bfloat16}
    assert storages(step.model) == storages(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", ["modern", "llama", "gpt2", "lecture"])
def test_a_model_with_lora_is_generated_from_by_the_engine(family: str, dtype: torch.dtype) -> None:
    model = model_of(family)
    add_lora(model, rank=2, alpha=4.0, dtype=dtype)
    torch.manual_seed(3)
    for layer in lora_parts(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.5)
    engine = Engine(model)
    request = Request(prompt_of(9), max_tokens=25, sampling=LIKELIEST, alternatives=0)
    cached, full = (list(one.submit(request)) for one in (engine, Engine(model, cached=False)))
    assert isinstance(engine.runner, PagedRunner) and not engine.runner.step.is_compiled
    if dtype is torch.float32:
        assert [token.id for token in cached] == [token.id for token in full]
    assert cached[0].logprob == pytest.approx(full[0].logprob, abs=1e-4 if dtype is torch.float32 else 0.2)


def test_lora_that_has_learnt_since_is_noticed() -> None:
    model = model_of("llama")
    add_lora(model, rank=2, alpha=4.0, dtype=torch.float32)
    engine, request = Engine(model), Request(prompt_of(9), max_tokens=20, sampling=LIKELIEST)
    before = [token.id for token in engine.submit(request)]
    with torch.no_grad():
        for layer in lora_parts(model).values():
            torch.nn.init.normal_(layer.lora_B, std=2.0)
    after = [token.id for token in engine.submit(request)]
    assert after != before and after == [token.id for token in Engine(model, cached=False).submit(request)]


def test_dropout_is_off_and_the_model_goes_on_training() -> None:
    model = sure_model("gpt2", dropout=0.5).train()
    engine, request = Engine(model), Request(prompt_of(9), max_tokens=20, sampling=LIKELIEST)
    first, second = ([token.id for token in engine.submit(request)] for _ in range(2))
    assert first == second and all(module.training for module in model.modules())


def test_positions_beyond_the_context_are_refused() -> None:
    step = ModelStep(model_of("modern"), "float32", 4)
    step.logits(slots_of(prompt_of(CONTEXT)))
    with pytest.raises(ModelError, match=f"{CONTEXT + 1} tokens are more than the context_length of {CONTEXT}"):
        step.logits(slots_of([1], CONTEXT))
