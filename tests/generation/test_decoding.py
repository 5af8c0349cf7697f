"""A whole model computed by the step that writes, and the weights that it takes by itself."""

from __future__ import annotations

import pytest
import torch

from homespun.errors import ModelError
from homespun.generation import decoding
from homespun.generation.decoding import DecodedModel, decoded, worthwhile_weights
from homespun.generation.engine import Engine
from homespun.generation.paged import ModelStep
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.kernels.decoding.slots import Slots
from homespun.kernels.decoding.source import STEP
from homespun.kernels.selfcheck import same_logits
from homespun.model.gpt import GPT
from tests.generation.models import CONTEXT, prompt_of, sure_model
from tests.model.shapes import FAMILY_NAMES as FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_decoded_model_says_what_the_model_says(way: str, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "SLOTS_AT_ONCE", 16)  # in several parts
    model = sure_model(family)
    texts = torch.tensor([prompt_of(CONTEXT, seed=seed) for seed in range(3)])
    ids, targets = texts[:, :-1], texts[:, 1:]
    with torch.no_grad():
        logits, loss = model(ids, targets)
        found, found_loss = decoded(model, "float32")(ids, targets)
    torch.testing.assert_close(found.log_softmax(-1), logits.log_softmax(-1), atol=1e-4, rtol=0)
    assert float(found_loss) == pytest.approx(float(loss), abs=1e-4)


def test_rounding_shows_in_it(way: str) -> None:
    model = sure_model("modern")
    ids = torch.tensor([prompt_of(CONTEXT)])
    plain, rounded = (decoded(model, kind)(ids)[0].log_softmax(-1) for kind in ("float32", "int8"))
    assert (plain - rounded).abs().max() > 1e-3


def test_a_bigram_has_nothing_to_round() -> None:
    with pytest.raises(ModelError, match="nothing is gained by rounding"):
        decoded(sure_model("bigram"), "int8")


def test_only_large_models_are_rounded_by_themselves_and_only_where_it_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = sure_model("modern")
    assert isinstance(model, GPT)
    monkeypatch.setattr(type(STEP), "can_be_had", lambda source: True)
    assert worthwhile_weights(model) == "float32"
    monkeypatch.setattr(decoding, "LARGE", model.number_of_parameters())
    assert worthwhile_weights(model) == "bfloat16"
    assert worthwhile_weights(sure_model("bigram")) == "float32"
    monkeypatch.setattr(type(STEP), "can_be_had", lambda source: False)
    assert worthwhile_weights(model) == "float32"


def test_the_compiled_step_and_the_plain_one_choose_the_same_ids(way: str) -> None:
    """At temperature 0, over many prompts: where they differ, it was a toss-up."""
    if way == "plain":
        pytest.skip("the compiled one is held against the plain one")
    model = sure_model("modern", n_embd=64, head_width=16)
    assert isinstance(model, GPT)
    plain = Engine(model, cached=False)
    compiled = Engine(model, wait=True)
    differ = 0
    for seed in range(60):
        request = Request(prompt_of(1 + seed % 30, seed=seed), max_tokens=30, sampling=Sampling(temperature=0))
        request = request.with_(alternatives=2)
        expected, found = (list(engine.submit(request)) for engine in (plain, compiled))
        for one, other in zip(expected, found, strict=True):
            assert one.logprob is not None and other.logprob is not None
            if one.id != other.id:  # what follows is another text
                differ += 1
                assert abs(one.alternatives[0][1] - one.alternatives[1][1]) < 2e-4
                break
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
    assert differ <= 1


def test_a_decoded_model_is_a_module_that_can_be_evaluated() -> None:
    model = sure_model("modern")
    assert isinstance(model, GPT)
    one = DecodedModel(model, "float32", wait=False)
    assert one.config is model.config and not list(one.parameters())


def test_where_bfloat16_is_multiplied_in_bfloat16_keys_and_values_are_kept_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU; here the processor does it."""
    model = sure_model("modern")
    assert isinstance(model, GPT)
    # The C++ step and the joined projections are for a CPU.
    monkeypatch.setattr("homespun.kernels.decoding.kernel.suits", lambda model, weights: False)
    monkeypatch.setattr("homespun.generation.paged.with_decoding_kernels", lambda model, note: model)
    plain = decoding.bytes_per_block(model, "float32")
    for module in ("homespun.kernels.rounding", "homespun.generation.decoding"):
        monkeypatch.setattr(f"{module}.multiplies_in_half", lambda weight, kind: kind == "bfloat16")
    step = ModelStep(model, "bfloat16", blocks=8)
    slots = Slots()
    slots.add(prompt_of(CONTEXT), 0, list(range(8)), wants_all=True)
    found = step.logits(slots)
    assert found.dtype == torch.float32
    assert {part.dtype for layer in step.cache.layers.values() for part in layer} == {torch.bfloat16}
    with torch.no_grad():
        right = model(torch.tensor([prompt_of(CONTEXT)]))[0][0]
    assert same_logits(found, right, "bfloat16")
    assert 2 * decoding.bytes_per_block(model, "bfloat16") == plain


def test_a_large_model_on_a_gpu_is_decoded_in_the_dtype_that_it_multiplies_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = sure_model("modern")
    assert isinstance(model, GPT)
    monkeypatch.setattr(type(model), "device", property(lambda model: torch.device("cuda")))
    monkeypatch.setattr(decoding, "choose_dtype", lambda name, device: torch.bfloat16)
    assert worthwhile_weights(model) == "float32"
    monkeypatch.setattr(decoding, "LARGE", model.number_of_parameters())
    assert worthwhile_weights(model) == "bfloat16"
