"""Models, tokens, embeddings, numbers: everything that writes no text."""

from __future__ import annotations

import httpx
import openai
import pytest
from openai.types import CreateEmbeddingResponse, Model

from tests.server.running import Running
from tests.server.test_completions import strictly


def test_models_are_listed_with_what_they_can_do(client: openai.OpenAI) -> None:
    client.completions.create(model="tiny", prompt="a", max_tokens=1)
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == {"tiny", "talker", "caller"}
    strictly(Model, listed["tiny"], "meta")
    meta = listed["tiny"].meta  # type: ignore[attr-defined]
    assert (meta["context_length"], meta["chat"], meta["tokenizer"]) == (128, False, "byte")
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError, match=r"no model 'big'\. There are: tiny") as error:
        client.models.retrieve("big")
    assert error.value.code == "model_not_found"


def test_tokens_are_those_of_the_model_and_come_back_as_text(served: Running) -> None:
    """The three requests of lm-eval's RemoteTokenizer."""
    asked = {"model": "tiny", "prompt": "né", "add_special_tokens": False}
    found = httpx.post(f"{served.url}/tokenize", json=asked).json()
    assert found["tokens"] == list("né".encode()) and found["count"] == 3 and found["max_model_len"] == 128
    back = httpx.post(f"{served.url}/detokenize", json={"model": "tiny", "tokens": found["tokens"]}).json()
    assert back == {"prompt": "né"}
    asked = {"model": "tiny", "prompt": "<|endoftext|>", "add_special_tokens": False}
    assert httpx.post(f"{served.url}/tokenize", json=asked).json()["tokens"] == [256]
    longer = httpx.post(f"{served.url}/tokenize", json={**asked, "prompt": "<|endoftext|>!"}).json()
    assert longer["tokens"] == list(b"<|endoftext|>!")  # in a text it is text
    info = httpx.get(f"{served.url}/tokenizer_info").json()
    assert info["eos_token"] == "<|endoftext|>" and info["eos_token_id"] == 256


def test_embeddings_are_of_length_one_in_both_encodings(client: openai.OpenAI) -> None:
    texts = ["a text", "another text"]
    numbers = client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    strictly(CreateEmbeddingResponse, numbers)
    coded = client.embeddings.create(model="tiny", input=texts)  # the client asks for base64, and decodes it
    for one, other in zip(numbers.data, coded.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding)
        assert sum(number**2 for number in one.embedding) == pytest.approx(1.0, abs=1e-5)
    assert numbers.data[0].embedding != numbers.data[1].embedding
    assert numbers.usage.prompt_tokens == len("".join(texts))
    with pytest.raises(openai.BadRequestError, match="this model's are 16"):
        client.embeddings.create(model="tiny", input="a", dimensions=8)


def test_health_version_schema_and_metrics_are_there(served: Running, client: openai.OpenAI) -> None:
    assert httpx.get(f"{served.url}/health").json() == {"status": "ok"}
    assert set(httpx.get(f"{served.url}/version").json()) == {"version"}
    schema = httpx.get(f"{served.url}/openapi.json").json()
    assert {"/v1/completions", "/v1/chat/completions", "/tokenize"} <= set(schema["paths"])
    client.completions.create(model="tiny", prompt="abc", max_tokens=7, extra_body={"ignore_eos": True})
    from prometheus_client.parser import text_string_to_metric_families

    page = httpx.get(f"{served.url}/metrics")
    values = {
        sample.name: sample.value for one in text_string_to_metric_families(page.text) for sample in one.samples
    }
    assert values["homespun:generation_tokens_total"] >= 7 and values["homespun:prompt_tokens_total"] >= 3
    assert values["homespun:num_requests_running"] == values["homespun:kv_cache_usage_perc"] == 0
    assert 'finished_reason="length"' in page.text and 'name="tiny"' in page.text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/v1/images/generations", "/v1/files", "/", "/v1/modelss"])
def test_what_is_not_there_is_not_there_in_the_envelope(served: Running, path: str) -> None:
    answer = httpx.get(f"{served.url}{path}")
    assert answer.status_code == 404 and answer.json()["error"]["type"] == "invalid_request_error"
