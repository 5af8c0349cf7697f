"""Several documents in one row: each is computed as if it was alone."""

from __future__ import annotations

import pytest
import torch

from homespun.errors import ModelError
from homespun.model.config import GPTConfig
from homespun.model.context import Causal, positions_in
from homespun.model.gpt import GPT

DOCUMENTS = ((1, 5, 7, 2), (9, 3), (4,), (8, 8, 6, 1, 2))


def model_of(family: str) -> GPT:
    torch.manual_seed(0)
    shared = {} if family in ("gpt2", "lecture") else {"n_kv_head": 2}
    config = GPTConfig.of(family, vocab_size=11, context_length=16, n_layer=2, n_head=4, n_embd=32, **shared)
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


def packed() -> tuple[torch.Tensor, torch.Tensor]:
    """Two rows; the second ends in padding, whose document is -1."""
    ids = torch.zeros(2, 14, dtype=torch.int64)
    documents = torch.full((2, 14), -1)
    for row, order in enumerate(((0, 1, 2, 3), (3, 0))):
        place = 0
        for number, which in enumerate(order):
            tokens = torch.tensor(DOCUMENTS[which])
            ids[row, place : place + len(tokens)] = tokens
            documents[row, place : place + len(tokens)] = number
            place += len(tokens)
    return ids, documents


def alone(model: GPT) -> torch.Tensor:
    """The logits of every document by itself, put where they stand in the rows; padding is left zero."""
    ids, documents = packed()
    expected = torch.zeros(2, 14, 11)
    for row in range(2):
        for number in documents[row].unique().tolist():
            if number >= 0:
                where = documents[row] == number
                expected[row, where] = model(ids[row, where][None])[0][0]
    return expected


@pytest.mark.parametrize("family", ["modern", "llama", "gpt2", "lecture"])
@pytest.mark.parametrize("way", ["explicit", "fused"])
def test_packed_logits_are_those_of_each_document_alone(family: str, way: str) -> None:
    model = model_of(family)
    ids, documents = packed()
    with torch.set_grad_enabled(way == "explicit"):  # how `attend` chooses on a CPU
        logits = model(ids, context=Causal(documents))[0]
        expected = alone(model)
    counts = documents >= 0
    torch.testing.assert_close(logits[counts], expected[counts], rtol=1e-5, atol=1e-5)
    assert logits.isfinite().all()


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
def test_packed_gradients_are_those_of_the_documents_together(family: str) -> None:
    model = model_of(family)
    ids, documents = packed()
    counts = documents >= 0
    both = []
    for logits in (model(ids, context=Causal(documents))[0], alone(model)):
        model.zero_grad()
        logits[counts].log_softmax(-1)[:, 0].sum().backward()
        both.append([weight.grad.clone() for weight in model.parameters()])
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_positions_that_are_given_are_those_that_are_counted() -> None:
    model = model_of("llama")
    ids, documents = packed()
    with torch.no_grad():
        counted = model(ids, context=Causal(documents))[0]
        given = model(ids, context=Causal(documents, positions_in(documents)))[0]
    assert torch.equal(counted, given)


def test_one_document_a_row_is_the_plain_model() -> None:
    model = model_of("modern")
    ids, _ = packed()
    with torch.no_grad():
        torch.testing.assert_close(model(ids, context=Causal(torch.zeros_like(ids)))[0], model(ids)[0])


def test_a_row_longer_than_the_context_is_refused_even_where_its_documents_are_short() -> None:
    model = model_of("llama")
    ids = torch.zeros(1, 20, dtype=torch.int64)
    with pytest.raises(ModelError):
        model(ids, context=Causal(torch.arange(20)[None] // 4))
