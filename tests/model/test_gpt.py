"""What a GPT promises whatever its family: shapes, no look at the future, a start that is small."""

from __future__ import annotations

import math

import pytest
import torch

from homespun.errors import ModelError
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from tests.model.shapes import FAMILY_NAMES, lively, random_ids, tiny

every_family = pytest.mark.parametrize("family", FAMILY_NAMES)


@every_family
def test_logits_have_one_number_for_every_token_of_the_vocabulary(family: str) -> None:
    config = tiny(family)
    ids = random_ids(config, 3, 7)
    logits, loss = GPT(config)(ids)
    assert logits.shape == (3, 7, 31)
    assert loss is None


@every_family
def test_loss_is_the_mean_cross_entropy_in_nats(family: str) -> None:
    config = tiny(family)
    model = lively(config)
    ids, targets = random_ids(config, 2, 5), random_ids(config, 2, 5, seed=2)
    logits, loss = model(ids, targets)
    by_hand = -logits.double().log_softmax(-1).gather(-1, targets[..., None]).mean()
    assert loss.shape == ()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_a_target_of_minus_one_is_not_counted() -> None:
    config = tiny("modern")
    model = lively(config)
    ids, targets = random_ids(config, 1, 6), random_ids(config, 1, 6, seed=2)
    _, of_four = model(ids[:, :4], targets[:, :4])
    targets[:, 4:] = -1
    _, loss = model(ids, targets)
    assert loss.item() == pytest.approx(of_four.item(), rel=1e-5)


@every_family
def test_a_later_token_never_changes_earlier_logits(family: str) -> None:
    config = tiny(family)
    model = lively(config)
    ids = random_ids(config, 2, 12)
    for grad in (True, False):  # the explicit way and the fused one
        with torch.set_grad_enabled(grad):
            before, _ = model(ids)
            for place in (1, 6, 11):
                changed = ids.clone()
                changed[:, place] = (changed[:, place] + 1) % config.vocab_size
                after, _ = model(changed)
                assert torch.equal(before[:, :place], after[:, :place])
                assert not torch.allclose(before[:, place:], after[:, place:], atol=1e-3)


@every_family
def test_every_weight_learns(family: str) -> None:
    config = tiny(family, n_kv_head=2)
    model = lively(config)
    _, loss = model(random_ids(config, 2, 12), random_ids(config, 2, 12, seed=2))
    loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().max() > 0, name


@every_family
def test_a_fresh_model_guesses_evenly(family: str) -> None:
    torch.manual_seed(0)
    config = tiny(family)
    _, loss = GPT(config)(random_ids(config, 8, 12), random_ids(config, 8, 12, seed=2))
    assert loss.item() == pytest.approx(math.log(31), abs=0.1)


@every_family
def test_weights_start_with_a_standard_deviation_of_two_hundredths(family: str) -> None:
    torch.manual_seed(0)
    config = GPTConfig.of(
        family, vocab_size=500, context_length=64, n_layer=8, n_head=4, n_embd=128, tied_head=False
    )
    shrunk = 0.02 if family == "lecture" else 0.02 / math.sqrt(2 * 8)
    for name, weight in GPT(config).named_parameters():
        if weight.dim() == 1:
            expected = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            assert (weight == expected).all(), name
            continue
        branch_end = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
        assert weight.std().item() == pytest.approx(shrunk if branch_end else 0.02, rel=0.05), name
        assert weight.mean().item() == pytest.approx(0.0, abs=0.002), name


@pytest.mark.parametrize("family", ["modern", "llama", "gpt2"])
def test_a_tied_head_is_the_embedding(family: str) -> None:
    model = GPT(tiny(family, tied_head=True))
    assert model.head.weight is model.token_embedding.weight


@every_family
def test_dropout_changes_training_and_leaves_evaluation_alone(family: str) -> None:
    config = tiny(family)
    plain, dropping = lively(config), lively(config.with_(dropout=0.5))
    ids = random_ids(config, 2, 12)
    assert torch.equal(plain(ids)[0], dropping(ids)[0])
    dropping.train()
    assert not torch.allclose(plain(ids)[0], dropping(ids)[0], atol=1e-2)


@every_family
def test_a_text_longer_than_the_context_is_refused_by_name(family: str) -> None:
    config = tiny(family)
    with pytest.raises(ModelError) as caught:
        GPT(config)(random_ids(config, 1, 13))
    assert str(caught.value) == (
        "13 tokens are more than the context_length of 12.\nGive the model the last tokens of the text only."
    )


@every_family
def test_bfloat16_weights_give_nearly_the_same_logits(family: str) -> None:
    config = tiny(family)
    model = lively(config)
    ids = random_ids(config, 2, 12)
    with torch.no_grad():
        exact, _ = model(ids)
        rounded, _ = model.to(torch.bfloat16)(ids)
    assert rounded.dtype == torch.bfloat16
    assert (exact - rounded).abs().mean() < 0.05 * exact.abs().mean()


@every_family
def test_a_loss_under_autocast_is_float32(family: str) -> None:
    config = tiny(family)
    model = lively(config)
    ids = random_ids(config, 2, 12)
    _, exact = model(ids, ids)
    with torch.autocast("cpu", torch.bfloat16):
        _, loss = model(ids, ids)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)
    loss.backward()


def test_the_same_seed_makes_the_same_model() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(1337)
        models.append(GPT(tiny("modern")).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
