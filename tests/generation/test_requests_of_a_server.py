"""What a server asks of the engine: log-probabilities of prompts, OpenAI's penalties, texts of a least length."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from homespun.errors import ModelError
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from tests.generation.models import CONTEXT, prompt_of, sure_model
from tests.generation.test_engine import LIKELIEST, all_blocks_are_free, ids_of


@pytest.mark.parametrize("family", ["modern", "gpt2", "bigram"])
@pytest.mark.parametrize("max_tokens", [0, 1, 5])
def test_log_probabilities_of_a_prompt_are_those_of_one_forward_pass(
    way: str, family: str, max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.generation.runner.SLOTS_AT_ONCE", 13)  # a prompt takes several steps
    model = sure_model(family)
    engine = Engine(model)
    prompt = prompt_of(CONTEXT)
    ids_of(engine.submit(Request(prompt, max_tokens=3)))  # its blocks could be shared; they are computed anew
    others = engine.submit(Request(prompt_of(5), max_tokens=30, sampling=LIKELIEST))
    stream = engine.submit(
        Request(prompt, max_tokens=max_tokens, sampling=LIKELIEST, alternatives=2, prompt_alternatives=2)
    )
    assert len(ids_of(stream)) == max_tokens and stream.finish_reason == "length"
    expected = F.log_softmax(model(torch.tensor([prompt]))[0][0].detach().float(), dim=-1)
    described = stream.sequence.prompt_tokens
    assert [token.id for token in described] == prompt and described[0].logprob is None
    for place, token in enumerate(described[1:], start=1):
        assert token.logprob == pytest.approx(float(expected[place - 1, token.id]), abs=1e-3)
        best = expected[place - 1].topk(2)
        assert [logprob for _, logprob in token.alternatives] == pytest.approx(best.values.tolist(), abs=1e-3)
    assert ids_of(others) == ids_of(Engine(model).submit(others.sequence.request))
    if family != "bigram":
        assert all_blocks_are_free(engine)


def test_a_prompt_beyond_the_context_has_no_log_probabilities() -> None:
    with pytest.raises(ModelError, match="41 tokens; the model sees 40"):
        Engine(sure_model("modern")).submit(Request(prompt_of(CONTEXT + 1), prompt_alternatives=0))


def test_alternatives_have_names() -> None:
    """Ids behind the vocabulary are never among them, however likely the model finds them."""
    model = sure_model("bigram")
    with torch.no_grad():
        model.table.weight[:, 50:] += 100.0
    (token,) = Engine(model).submit(Request([1], max_tokens=1, below=50, sampling=LIKELIEST, alternatives=60))
    assert len(token.alternatives) == 50 and all(id < 50 for id, _ in token.alternatives)


def test_penalties_count_what_was_generated_and_not_the_prompt(way: str) -> None:
    model = sure_model("modern")

    def written(**settings: float) -> list[int]:
        sampling = Sampling(temperature=0, **settings)
        return ids_of(Engine(model).submit(Request([3, 7, 9], max_tokens=12, sampling=sampling)))

    plain, presence, frequency = written(), written(presence_penalty=2.0), written(frequency_penalty=2.0)
    ids = [3, 7, 9]
    counts = torch.zeros(61)
    for got in frequency:  # OpenAI's formula, computed from whole windows
        logits = model(torch.tensor([ids]))[0][0, -1].detach() - 2.0 * counts
        assert got == int(logits.argmax())
        counts[got] += 1
        ids.append(got)
    assert plain[0] == presence[0] == frequency[0]
    assert written(presence_penalty=0.0, frequency_penalty=0.0) == plain


def test_no_stop_id_comes_before_the_least_length() -> None:
    model = sure_model("modern")
    first = ids_of(Engine(model).submit(Request([3], max_tokens=1, sampling=LIKELIEST)))[0]
    request = Request([3], max_tokens=9, sampling=LIKELIEST, stop_ids=[first])
    assert ids_of(Engine(model).submit(request)) == []
    longer = ids_of(Engine(model).submit(request.with_(min_tokens=4)))
    assert len(longer) >= 4 and first not in longer
