"""Real clients, beside the `openai` package: `make test-clients` installs them, and runs this."""

from __future__ import annotations

import json
import os
import shutil
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


CHOICES = """
task: choices
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
WHOLE = """
task: whole
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: bits_per_byte}, {metric: byte_perplexity}]
"""
QUESTIONS = [
    {"question": f"once upon a time number {number} ", "choices": choices, "answer": number % 2}
    for number, choices in enumerate([["there was", "a king"], ["né", "à la crème"], ["yes", "no"]] * 4)
]


def test_the_command_line_of_lm_eval_prints_what_it_prints_of_transformers(
    served: Running, models: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    data = tmp_path / "questions.json"
    data.write_text(json.dumps(QUESTIONS))
    for name, task in (("choices", CHOICES), ("whole", WHOLE)):
        (tmp_path / f"{name}.yaml").write_text(task.replace("DATA", str(data)))

    def evaluated(name: str, *model: str) -> dict[str, dict[str, float]]:
        command = [sys.executable, "-m", "lm_eval", *model, "--tasks", "choices,whole", "--include_path", "."]
        command += ["--output_path", name, "--log_samples"]
        done = subprocess.run(command, cwd=tmp_path, env=offline(tmp_path), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        (results,) = (tmp_path / name).rglob("results_*.json")
        found: dict[str, dict[str, float]] = json.loads(results.read_text())["results"]
        (samples,) = (tmp_path / name).rglob("samples_choices_*.jsonl")
        lines = map(json.loads, samples.read_text().splitlines())
        found["of each choice"] = {
            f"{line['doc_id']}, {place}": float(answer[0][0] if isinstance(answer[0], list) else answer[0])
            for line in lines
            for place, answer in enumerate(line["resps"])
        }
        return found

    url = f"base_url={served.url}/v1/completions"
    place = f"model=tiny,{url},tokenizer_backend=remote,num_concurrent=2,max_length=128"
    own = evaluated("own", "--model", "local-completions", "--model_args", place)
    theirs = evaluated("theirs", "--model", "hf", "--model_args", f"pretrained={models / 'tiny'},dtype=float32")
    assert len(own["of each choice"]) == 24
    for task, metrics in theirs.items():
        numbers = {metric: value for metric, value in metrics.items() if isinstance(value, float)}
        assert numbers
        for metric, value in numbers.items():
            assert own[task][metric] == pytest.approx(value, abs=1e-3), (task, metric)


def offline(folder: Path) -> dict[str, str]:
    """The environment of a program that shall download nothing, and keep what it keeps in that folder."""
    return {**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def test_clients_of_node_write_talk_stream_and_break_off(served: Running) -> None:
    folder = Path(__file__).parent / "node"
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not installed: openai and ai for Node are not tried")
    if not (folder / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-fund", "--no-audit", "--silent"], cwd=folder, check=True)
    command = ["node", "clients.mjs", served.url, "tiny", "talker"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert {"tiny", "talker"} <= set(got["models"])
    assert got["usage"]["completion_tokens"] == got["aiUsage"] == 40
    assert got["ai"] and got["response"] > 0
    assert 3 <= got["aborted"] < 5000


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
