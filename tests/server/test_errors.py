"""Everything that goes wrong with a request is told in one envelope, with the field that is wrong."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from tests.server.running import Running, running
from tests.server.test_chat import HELLO

COMPLETE, CHAT = "/v1/completions", "/v1/chat/completions"


def post(served: Running, path: str, body: Any) -> httpx.Response:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return httpx.post(
        served.url + path, content=content, headers={"content-type": "application/json"}, timeout=600
    )


def error_of(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        (COMPLETE, b"{", None, "no JSON"),
        (COMPLETE, b"", None, ""),
        (COMPLETE, b"\xff\xfe{}", None, ""),
        (COMPLETE, b"[" * 100_000, None, ""),
        (COMPLETE, b"[]", None, ""),
        (COMPLETE, '{"prompt": "a", "temperature": NaN}', "temperature", "finite"),
        (COMPLETE, {"prompt": "a", "temperature": "hot"}, "temperature", "number"),
        (COMPLETE, {"prompt": "a", "temperature": -1}, "temperature", "greater"),
        (COMPLETE, {"prompt": "a", "max_tokens": 1.5}, "max_tokens", "integer"),
        (COMPLETE, {"prompt": "a", "max_tokens": -1}, "max_tokens", "greater"),
        (COMPLETE, {"prompt": "a", "stream": "yes"}, "stream", "boolean"),
        (COMPLETE, {"prompt": "a", "stream_options": 3}, "stream_options", ""),
        (COMPLETE, {"prompt": "a", "n": 0}, "n", "greater"),
        (COMPLETE, {"prompt": "a", "n": 17}, "n", "at most 16"),
        (COMPLETE, {"prompt": "a", "logprobs": 21}, "logprobs", "20"),
        (COMPLETE, {"prompt": "a", "stop": [str(number) for number in range(33)]}, "stop", "32"),
        (COMPLETE, {"prompt": "a", "stop": ""}, "stop", "at least 1"),
        (COMPLETE, {"prompt": "a", "logit_bias": {"a": 1}}, "logit_bias", "ids"),
        (COMPLETE, {"prompt": "a", "logit_bias": {"999": 1}}, "logit_bias", "0 to 256"),
        (COMPLETE, {"prompt": "a", "logit_bias": {"1": 101}}, "logit_bias.1", "100"),
        (COMPLETE, {"prompt": "a", "seed": 2**63}, "seed", "less"),
        (COMPLETE, {"prompt": []}, "prompt", "empty"),
        (COMPLETE, {"prompt": "a" * 3_000_000}, "prompt", "3,000,000 tokens"),
        (COMPLETE, {"prompt": [[]]}, "prompt.0", "no ids"),
        (COMPLETE, {"prompt": ["a", [1]]}, "prompt", ""),
        (COMPLETE, {"prompt": [1, 999]}, "prompt", "no token 999"),
        (COMPLETE, {"prompt": [1, -1]}, "prompt.1", "greater"),
        (COMPLETE, '{"prompt": "\\ud800"}', "prompt", ""),
        (COMPLETE, {"prompt": "a" * 200, "echo": True, "logprobs": 1, "truncation": "auto"}, None, "200 tokens"),
        (COMPLETE, {"prompt": "a", "suffix": "b"}, "suffix", "left to right"),
        (COMPLETE, {"prompt": "a", "best_of": 2}, "best_of", "take the best"),
        (COMPLETE, {"prompt": "a", "chat_template": "{{ 1 }}"}, "chat_template", "never a request's"),
        (COMPLETE, {"prompt": "a", "structured_outputs": {}}, "structured_outputs", "0 of"),
        (COMPLETE, {"prompt": "a", "structured_outputs": {"regex": "[a"}}, "structured_outputs.regex", "unclosed"),
        (COMPLETE, {"prompt": "a", "structured_outputs": {"grammar": "x"}}, "structured_outputs.grammar", ""),
        (COMPLETE, {"prompt": "a", "model": "gpt-4"}, "model", "There are: tiny"),
        (CHAT, {"model": "talker", "messages": []}, "messages", "at least 1"),
        (CHAT, {"model": "talker"}, "messages", "required"),
        (CHAT, {"model": "talker", "messages": [{"role": "king", "content": "a"}]}, "messages.0.role", "user"),
        (CHAT, {"model": "talker", "messages": [{"role": "user"}]}, "messages.0.content", "no content"),
        (
            CHAT,
            {
                "model": "talker",
                "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            },
            "messages.0.content.0",
            "image_url",
        ),
        (CHAT, {"model": "talker", "messages": HELLO, "top_logprobs": 2}, "top_logprobs", "logprobs: true"),
        (CHAT, {"model": "talker", "messages": HELLO, "modalities": ["audio"]}, "modalities", "text"),
        (CHAT, {"model": "talker", "messages": HELLO, "functions": [{}]}, "functions", "tools"),
        (CHAT, {"model": "talker", "messages": HELLO, "tool_choice": "required"}, "tool_choice", "no tools"),
        (CHAT, {"model": "caller", "messages": HELLO, "tools": [{"type": "web_search"}]}, "tools.0.type", ""),
        ("/v1/responses", {"model": "talker", "input": [{"type": "image"}]}, "input.0.type", "message"),
        ("/v1/responses", {"model": "talker", "input": [{"role": "king", "content": "a"}]}, "input.0.role", ""),
        ("/v1/responses", {"model": "talker", "input": "a", "background": True}, "background", "kept"),
        ("/v1/embeddings", {"input": []}, "input", "empty"),
        ("/detokenize", {"tokens": [999]}, "tokens", "no token 999"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_about_its_field(
    served: Running, path: str, body: Any, param: str | None, words: str
) -> None:
    answer = post(served, path, body)
    error = error_of(answer, 404 if "gpt-4" in str(body) else 400)
    assert error["param"] == param and words in error["message"], error
    assert error["type"] == "invalid_request_error"


def test_what_is_harmless_is_taken_and_what_is_unknown_is_named(served: Running) -> None:
    harmless = {"user": "me", "metadata": {"a": "b"}, "best_of": 1, "suffix": None}
    answer = post(served, COMPLETE, {"prompt": "a", "max_tokens": 1, "foo": 1, "bär\n": 2, **harmless})
    assert answer.status_code == 200 and answer.headers["x-homespun-ignored"] == "foo,b?r?"
    assert "x-homespun-ignored" not in post(served, COMPLETE, {"prompt": "a", "max_tokens": 1, **harmless}).headers


def test_an_error_in_the_middle_of_a_stream_is_told_and_ends_it(
    served: Running, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.generation.sequence import Sequence

    take = Sequence.take

    def failing(self: Sequence, id: int, logits: Any) -> None:
        if self.count == 5 and self.request.max_tokens == 33:
            raise ValueError("a bug of ours")
        take(self, id, logits)

    monkeypatch.setattr(Sequence, "take", failing)
    with pytest.raises(openai.APIError, match="failed in a way"):
        list(client.completions.create(model="tiny", prompt="a", max_tokens=33, seed=1, stream=True))
    lines = post(served, COMPLETE, {"prompt": "a", "max_tokens": 33, "seed": 1, "stream": True}).text.splitlines()
    assert "error" in json.loads(lines[-2].removeprefix("data: ")) and "[DONE]" not in "".join(lines)
    answer = post(served, COMPLETE, {"prompt": "a", "max_tokens": 33, "seed": 1})
    assert error_of(answer, 500)["type"] == "server_error" and answer.headers["x-should-retry"] == "false"
    assert "bug of ours" not in answer.text
    assert client.completions.create(model="tiny", prompt="a", max_tokens=3).choices  # the server goes on


def test_a_template_without_an_end_is_stopped(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.server import limited
    from homespun.server.models import Entry
    from tests.server.running import make_model

    monkeypatch.setattr(limited.within, "__kwdefaults__", {"seconds": 0.5})
    endless = "{% set r = range(99999) %}{% if messages[0].content == 'on' %}{% for a in r %}{% for b in r %}"
    endless += "{% endfor %}{% endfor %}{% endif %}{{ messages[0].content }}"
    folder = make_model(models / ".endless", context=64, template=endless)
    with running([Entry(folder, ["endless"])]) as server:
        said = [{"role": "user", "content": "on"}]
        error = error_of(post(server, CHAT, {"messages": said, "max_tokens": 2}))
        assert "took longer than 0.5 s" in error["message"]
        said = [{"role": "user", "content": "off"}]
        assert post(server, CHAT, {"messages": said, "max_tokens": 2}).status_code == 200


def test_strict_servers_refuse_what_they_do_not_know(models: Any) -> None:
    from homespun.server.models import Entry

    with running([Entry(models / "tiny", ["tiny"])], strict=True, slides=True) as server:
        error = error_of(post(server, COMPLETE, {"prompt": "a", "foo": 1}))
        assert error["param"] == "foo" and error["code"] == "unknown_parameter"
        answer = post(server, COMPLETE, {"prompt": "a" * 200, "max_tokens": 1}).json()
        assert answer["usage"]["prompt_tokens_details"] == {"seen": 128}
