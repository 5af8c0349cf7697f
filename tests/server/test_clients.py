"""Real clients, beside the `openai` package: `make test-clients` installs them, and runs this."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server.running import Running

pytestmark = pytest.mark.clients

TEXTS = [
    ("once upon a time ", "there was a king"),
    ("the quick brown fox ", "jumps"),
    ("", "an empty beginning"),
    ("né ", "à la crème"),
    ("a", "b"),
]


def test_lm_eval_gets_the_log_probabilities_that_transformers_gives(served: Running, models: Path) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    def ask(model: Any, kind: str, *texts: Any) -> list[Any]:
        instances = [Instance(request_type=kind, doc={}, arguments=text, idx=0) for text in texts]
        return list(getattr(model, kind)(instances))

    theirs = HFLM(pretrained=str(models / "tiny"), device="cpu", dtype="float32", batch_size=1)
    url = f"{served.url}/v1/completions"
    for backend in ({"tokenizer_backend": "remote"}, {"tokenizer": str(models / "tiny")}):
        ours = LocalCompletionsAPI(model="tiny", base_url=url, num_concurrent=4, max_length=128, **backend)
        expected = ask(theirs, "loglikelihood", *TEXTS)
        found = ask(ours, "loglikelihood", *TEXTS)
        for (logprob, is_greedy), (own, own_greedy) in zip(expected, found, strict=True):
            assert own == pytest.approx(logprob, abs=1e-3) and own_greedy == is_greedy
    whole = ("".join(text for pair in TEXTS for text in pair),)
    rolling = ask(ours, "loglikelihood_rolling", whole)
    assert rolling == pytest.approx(ask(theirs, "loglikelihood_rolling", whole), abs=1e-3)


def test_llm_writes_and_talks(served: Running, tmp_path: Path) -> None:
    pytest.importorskip("llm")
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: book, model_name: tiny, api_base: '{served.url}/v1', completion: true}}\n"
        f"- {{model_id: talk, model_name: talker, api_base: '{served.url}/v1'}}\n"
    )
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
    for arguments in (
        ["-m", "book", "-o", "max_tokens", "9"],
        ["-m", "talk", "-o", "max_tokens", "9", "--no-stream"],
    ):
        command = [sys.executable, "-m", "llm", "prompt", "once upon", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_langchain_writes_talks_embeds_and_streams_with_usage(served: Running) -> None:
    langchain = pytest.importorskip("langchain_openai")
    common: dict[str, Any] = {"base_url": f"{served.url}/v1", "api_key": "none"}
    assert langchain.OpenAI(model="tiny", max_tokens=9, **common).invoke("once upon")
    chat = langchain.ChatOpenAI(model="talker", max_tokens=9, stream_usage=True, **common)
    parts = list(chat.stream("hello"))
    assert sum((part.usage_metadata or {}).get("output_tokens", 0) for part in parts) == 9
    assert (
        langchain.ChatOpenAI(model="talker", max_tokens=16, use_responses_api=True, **common).invoke("hello").text
    )
    embeddings = langchain.OpenAIEmbeddings(model="tiny", check_embedding_ctx_length=False, **common)
    assert len(embeddings.embed_query("a text")) == 16


def test_litellm_writes_and_talks(served: Running) -> None:
    litellm = pytest.importorskip("litellm")
    common = {"api_base": f"{served.url}/v1", "api_key": "none", "max_tokens": 9}
    assert litellm.text_completion(model="text-completion-openai/tiny", prompt="once", **common).choices[0].text
    said = [{"role": "user", "content": "hello"}]
    assert litellm.completion(model="openai/talker", messages=said, **common).choices[0].message.content


def test_odd_requests_from_the_schema_are_answered_in_the_envelope(served: Running) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def check(case: Any) -> None:
            nonlocal tried
            tried += 1
            body = case.body if isinstance(case.body, dict) else None
            if body is not None and "max_tokens" in body:
                body["max_tokens"] = 3 if isinstance(body["max_tokens"], int) else body["max_tokens"]
            answer = case.call(base_url=served.url)
            assert answer.status_code < 500, (case.path, answer.text)
            if answer.status_code >= 400:
                assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

        check()
    assert tried > 200
