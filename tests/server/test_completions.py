"""/v1/completions, by the `openai` package: every answer is one of its own types, and holds what was asked for."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest
from openai.types import Completion
from pydantic import BaseModel

from tests.server.running import Running

PROMPT = "once upon a time"


def strictly(kind: type[BaseModel], answer: BaseModel, *extra: str) -> None:
    """The answer is of that type, and has no field that the type does not know but `extra`."""
    plain = answer.model_dump(exclude_unset=True)
    kind.model_validate(plain, strict=True)
    unknown(answer, extra)


def unknown(value: Any, extra: tuple[str, ...]) -> None:
    if isinstance(value, BaseModel):
        assert set(value.model_extra or {}) <= set(extra), type(value)
        for name in type(value).model_fields:
            unknown(getattr(value, name), extra)
    elif isinstance(value, (list, tuple)):
        for one in value:
            unknown(one, extra)


def test_a_completion_is_what_openai_says_it_is(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=PROMPT, max_tokens=20, seed=1, logprobs=2)
    strictly(Completion, answer)
    (choice,) = answer.choices
    assert choice.finish_reason == "length" and answer.model == "tiny" and answer.object == "text_completion"
    assert answer.usage is not None and choice.logprobs is not None
    counts = (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens)
    assert counts == (16, 20, 36)
    assert len(choice.logprobs.tokens or []) == len(choice.logprobs.token_logprobs or []) == 20
    assert all(2 <= len(best) <= 3 for best in choice.logprobs.top_logprobs or [])


@pytest.mark.parametrize(
    "parameters", [{}, {"logprobs": 3}, {"n": 3}, {"echo": True}, {"echo": True, "logprobs": 1}]
)
@pytest.mark.parametrize("stop", [None, ["e"], "q"])
def test_a_stream_says_what_the_whole_answer_says(
    client: openai.OpenAI, parameters: dict[str, Any], stop: Any
) -> None:
    asked = {"model": "tiny", "prompt": [PROMPT, "and"], "max_tokens": 40, "seed": 5, "stop": stop, **parameters}
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, "tiny")
    }
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices
    assert all(chunk.usage is None for chunk in chunks[:-1])
    for choice in whole.choices:
        parts = [part for chunk in chunks for part in chunk.choices if part.index == choice.index]
        assert "".join(part.text for part in parts) == choice.text
        assert [part.finish_reason for part in parts] == [None] * (len(parts) - 1) + [choice.finish_reason]
        if choice.logprobs is not None:
            for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
                streamed = [one for part in parts for one in getattr(part.logprobs, field)]
                assert streamed == getattr(choice.logprobs, field)


def test_echo_shows_the_prompt_with_its_log_probabilities(client: openai.OpenAI, served: Running) -> None:
    ids = list(PROMPT.encode())
    asked = {"model": "tiny", "echo": True, "logprobs": 1, "temperature": 0}
    scored = client.completions.create(prompt=ids, max_tokens=0, **asked).choices[0]
    written = client.completions.create(prompt=PROMPT, max_tokens=1, **asked).choices[0]
    assert scored.text == PROMPT and scored.logprobs is not None and written.logprobs is not None
    assert scored.logprobs.tokens == list(PROMPT)
    assert scored.logprobs.text_offset == list(range(16))
    assert scored.logprobs.token_logprobs == (written.logprobs.token_logprobs or [])[:16]
    assert scored.logprobs.token_logprobs[0] is None and written.text.startswith(PROMPT)
    import torch

    model = served.server.models.by_name["tiny"].views[0].engine.model
    expected = torch.log_softmax(model(torch.tensor([ids]))[0][0].detach(), dim=-1)
    for place, logprob in enumerate(scored.logprobs.token_logprobs[1:], start=1):
        assert logprob == pytest.approx(float(expected[place - 1, ids[place]]), abs=1e-3)


def test_prompts_of_all_shapes_mean_the_same(client: openai.OpenAI) -> None:
    ids = list(PROMPT.encode())
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 10, "seed": 3}
    one = client.completions.create(prompt=PROMPT, **asked).choices[0].text
    for prompt in (ids, [PROMPT], [ids], [PROMPT, "other"], [ids, ids]):
        answer = client.completions.create(prompt=prompt, **asked)
        assert answer.choices[0].text == one
    empty = client.completions.create(prompt="", **asked)
    assert empty.usage is not None and empty.usage.prompt_tokens == 1  # what a text begins after


def test_the_choices_of_n_have_seeds_one_after_the_other(client: openai.OpenAI) -> None:
    several = client.completions.create(model="tiny", prompt=PROMPT, max_tokens=12, seed=7, n=3)
    alone = [
        client.completions.create(model="tiny", prompt=PROMPT, max_tokens=12, seed=seed).choices[0].text
        for seed in (7, 8, 9)
    ]
    assert [choice.text for choice in several.choices] == alone and len(set(alone)) == 3


def test_a_seed_that_was_drawn_is_told_and_gives_the_same_text(client: openai.OpenAI) -> None:
    raw = client.completions.with_raw_response.create(model="tiny", prompt=PROMPT, max_tokens=12)
    seed = int(raw.headers["x-homespun-seed"])
    again = client.completions.create(model="tiny", prompt=PROMPT, max_tokens=12, seed=seed)
    assert raw.parse().choices[0].text == again.choices[0].text


def test_biases_forbid_and_force(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
    forced = client.completions.create(**asked, logit_bias={"122": 100}, logprobs=0).choices[0]
    assert forced.text == "z" * 12
    assert min(forced.logprobs.token_logprobs) < -0.01  # the model's own, before any bias
    first = client.completions.create(**asked).choices[0].text[0]
    assert first not in client.completions.create(**asked, logit_bias={str(ord(first)): -100}).choices[0].text


def test_penalties_are_subtracted_from_logits(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 30, "temperature": 0}
    bias = {"122": 60.0, "121": 50.0}
    plain = client.completions.create(**asked, logit_bias=bias).choices[0].text
    penalised = client.completions.create(**asked, logit_bias=bias, frequency_penalty=2.0).choices[0].text
    assert plain == "z" * 30 and "y" in penalised and penalised.startswith("zzz")


def test_stop_strings_and_stop_ids_end_the_text(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 60, "seed": 11}
    text = client.completions.create(**asked).choices[0].text
    for stop in (text[5:8], text[20]):
        choice = client.completions.create(**asked, stop=stop, logprobs=0).choices[0]
        assert choice.text == text[: text.index(stop)] and choice.finish_reason == "stop"
        assert len(choice.logprobs.tokens) == len(choice.text)
    choice = client.completions.create(**asked, extra_body={"stop_token_ids": [ord(text[9])]}).choices[0]
    assert choice.text == text[: text.index(text[9])] and choice.finish_reason == "stop"


def test_vllms_extras_are_done(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": PROMPT, "max_tokens": 40}
    greedy = client.completions.create(**asked, temperature=0).choices[0].text
    assert client.completions.create(**asked, extra_body={"top_k": 1}).choices[0].text == greedy
    assert client.completions.create(**asked, top_p=0).choices[0].text == greedy
    assert client.completions.create(**asked, extra_body={"min_p": 1.0}).choices[0].text == greedy
    bias = {"256": 100}  # the end of the text
    ended = client.completions.create(**asked, logit_bias=bias)
    assert ended.choices[0].text == "" and ended.choices[0].finish_reason == "stop"
    extra = {"ignore_eos": True}
    assert client.completions.create(**asked, logit_bias=bias, extra_body=extra).usage.completion_tokens == 40
    extra = {"min_tokens": 7}
    assert client.completions.create(**asked, logit_bias=bias, extra_body=extra).usage.completion_tokens == 7


@pytest.mark.parametrize(
    ("outputs", "pattern"),
    [({"regex": "[0-9]{3}-[ab]+c"}, r"[0-9]{3}-[ab]+c"), ({"choice": ["yes", "no"]}, "yes|no")],
)
def test_structured_outputs_hold_the_text(client: openai.OpenAI, outputs: Any, pattern: str) -> None:
    import re

    pytest.importorskip("llguidance")
    choice = client.completions.create(
        model="tiny", prompt=PROMPT, max_tokens=100, extra_body={"structured_outputs": outputs}
    ).choices[0]
    assert re.fullmatch(pattern, choice.text)


def test_no_log_probability_is_an_infinity(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="tiny", prompt="a", max_tokens=5, logprobs=20).choices[0]
    assert all(math.isfinite(one) for best in choice.logprobs.top_logprobs for one in best.values())


def test_what_does_not_fit_is_refused_with_both_numbers_or_cut_and_told(client: openai.OpenAI) -> None:
    long = "a" * 300
    with pytest.raises(openai.BadRequestError, match="300 tokens; the context of this model has 128") as error:
        client.completions.create(model="tiny", prompt=long)
    assert error.value.code == "context_length_exceeded" and error.value.param == "prompt"
    cut = client.completions.create(
        model="tiny", prompt=long, max_tokens=200, seed=1, extra_body={"truncation": "auto", "ignore_eos": True}
    )
    assert cut.usage.prompt_tokens == 300 and cut.usage.prompt_tokens_details.seen == 128  # type: ignore[union-attr]
    assert cut.usage.completion_tokens == 200
    full = client.completions.create(model="tiny", prompt=long[:120], max_tokens=200)
    assert full.usage.completion_tokens == 9 and full.choices[0].finish_reason == "length"
