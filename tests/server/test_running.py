"""A server under load: the same seed, the same text; who leaves is written for no more; an orderly end."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from homespun.errors import HomespunError
from homespun.server import models as loading
from homespun.server import serving
from homespun.server.guard import Rules
from homespun.server.models import Entry
from homespun.server.options import Options
from tests.patience import PATIENCE
from tests.server.running import Running, running

LONG = 10**6  # tokens: nobody waits for all of them
JSON = {"content-type": "application/json"}


def until(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def engine_of(server: Running, name: str = "tiny") -> Any:
    return server.server.models.by_name[name].views[0].engine


def asked(number: int) -> dict[str, Any]:
    return {
        "model": "tiny",
        "prompt": "the same beginning " + "and more " * (number % 5),
        "max_tokens": 20 + number,
        "seed": number,
        "temperature": 1.0,
        "logprobs": 2,
        "extra_body": {"ignore_eos": True, "truncation": "auto"},
    }


def text_of(client: openai.OpenAI, number: int, streams: bool) -> tuple[str, list[Any]]:
    if not streams:
        choice = client.completions.create(**asked(number)).choices[0]
        return choice.text, list(choice.logprobs.top_logprobs)
    parts = [part for chunk in client.completions.create(**asked(number), stream=True) for part in chunk.choices]
    return "".join(part.text for part in parts), [one for part in parts for one in part.logprobs.top_logprobs]


def test_the_same_seed_gives_the_same_text_to_the_bit(
    models: Path, served: Running, client: openai.OpenAI, step: Path | None
) -> None:
    """Streamed or not, alone or beside 15 others, with a cold cache or a warm one, before and after a restart."""
    if step is None:
        pytest.skip("there is no compiler: texts are the same to rounding alone")
    alone = [text_of(client, number, streams=False) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        for streams in (True, False):
            together = list(pool.map(lambda number: text_of(client, number, streams), range(16)))  # noqa: B023
            assert together == alone
    with running([Entry(models / "tiny", ["tiny"])], streams=3) as other:
        again = openai.OpenAI(base_url=f"{other.url}/v1", api_key="none")
        assert [text_of(again, number, streams=number % 2 == 0) for number in (15, 0, 7)] == [
            alone[number] for number in (15, 0, 7)
        ]
        fingerprints = {
            one.completions.create(model="tiny", prompt="a", max_tokens=1).system_fingerprint
            for one in (client, again)
        }
        assert len(fingerprints) == 1


@pytest.mark.parametrize("streams", [True, False])
def test_who_leaves_is_written_for_no_more(served: Running, client: openai.OpenAI, streams: bool) -> None:
    client.completions.create(model="tiny", prompt="a", max_tokens=1)
    engine, metrics = engine_of(served), served.server.metrics
    left = metrics.disconnects._value.get()
    body = {"model": "tiny", "prompt": "a", "max_tokens": LONG, "stream": streams, "n": 3, "truncation": "auto",
            "ignore_eos": True}  # fmt: skip
    content = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: localhost:{served.port}\r\nContent-Type: application/json\r\n"
        )
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        if streams:
            assert connection.recv(1000)
        until(lambda: len(engine.active) == 3)
    until(lambda: not engine.active and not served.server.engines.live)
    assert metrics.disconnects._value.get() == left + 1
    assert engine.runner.manager.free_blocks() == engine.runner.manager.number


def test_a_stop_string_frees_the_place(client: openai.OpenAI, served: Running) -> None:
    extra = {"ignore_eos": True, "truncation": "auto"}
    client.completions.create(model="tiny", prompt="a", max_tokens=LONG, seed=1, stop=["e"], extra_body=extra)
    until(lambda: not engine_of(served).active)


def test_a_full_queue_says_when_to_come_again(models: Path) -> None:
    body = {"prompt": "a", "max_tokens": LONG, "stream": True, "truncation": "auto", "ignore_eos": True}
    with running([Entry(models / "tiny", ["tiny"])], streams=1, queue=1) as server:
        one = httpx.post(f"{server.url}/v1/completions", json={"prompt": "a", "max_tokens": 3}, timeout=PATIENCE)
        assert one.status_code == 200
        with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=PATIENCE) as first:
            reader = first.iter_raw()  # without a name it would be closed at once
            next(reader)
            with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=PATIENCE) as second:
                until(lambda: len(engine_of(server).waiting) == 1)
                refused = httpx.post(f"{server.url}/v1/completions", json=body, timeout=PATIENCE)
                assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
                assert refused.json()["error"]["type"] == "rate_limit_error"
                with pytest.raises(openai.RateLimitError):
                    limited = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
                    limited.completions.create(model="tiny", prompt="a")
                more = httpx.post(f"{server.url}/v1/completions", json={"prompt": "a", "n": 3}, timeout=PATIENCE)
                assert more.status_code == 400 and "3 texts" in more.json()["error"]["message"]
                first.close()  # then the second one has its turn
                assert b"data: " in next(data for data in second.iter_raw() if b"data" in data)


def test_who_waits_hears_how_many_are_before_him(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.server.texts.BEAT", 0.05)
    body = {"prompt": "a", "max_tokens": LONG, "stream": True, "truncation": "auto", "ignore_eos": True}
    with running([Entry(models / "tiny", ["tiny"])], streams=1) as server:
        url = f"{server.url}/v1/completions"
        with (
            httpx.stream("POST", url, json=body, timeout=PATIENCE) as first,
            httpx.stream("POST", url, json=body, timeout=PATIENCE),
            httpx.stream("POST", url, json=body, timeout=PATIENCE) as third,
        ):
            reader = first.iter_raw()  # without a name it would be closed at once
            next(reader)
            assert any(b": waiting, 1 before you" in data for data in third.iter_raw())


def test_models_are_loaded_when_they_are_asked_for_and_let_go_when_memory_is_short(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.server.models import entries_of

    with running(entries_of(str(models), [], {})) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)

        def loaded() -> set[str]:
            return {model.id for model in client.models.list() if model.meta["loaded"]}  # type: ignore[attr-defined]

        def ask(name: str) -> None:
            assert client.completions.create(model=name, prompt="a", max_tokens=1).model == name

        assert loaded() == {"caller"}  # the first, where a request names none
        ask("tiny")
        assert loaded() == {"caller", "tiny"}
        monkeypatch.setattr("homespun.machine.device.memory_free", lambda device: 0)
        first = weakref.ref(engine_of(server))
        ask("talker")
        assert loaded() == {"talker"}
        gc.collect()
        assert first() is None  # nobody keeps its memory
        ask("tiny")
        assert loaded() == {"tiny"}


def test_a_model_that_cannot_be_loaded_is_told_and_the_others_go_on(models: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    entries = [Entry(models / "tiny", ["tiny"]), Entry(broken, ["broken"])]
    with running(entries) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")  # which would ask three times
        with pytest.raises(openai.InternalServerError, match=r"config\.json"):
            client.completions.create(model="broken", prompt="a")
        assert client.completions.create(model="tiny", prompt="a", max_tokens=1).choices


def test_adapters_are_models_of_their_own_over_one_base(models: Path, tmp_path: Path) -> None:
    import torch

    from homespun.checkpoint.adapter import Change, write_adapter
    from homespun.interop.adapter import base_named
    from homespun.interop.open import open_model

    base, tokenizer, place = open_model(models / "tiny")
    for seed, name in enumerate(("one", "two")):
        rng = torch.Generator().manual_seed(seed)
        changes = {
            key: Change(
                9 * torch.randn(2, weight.size(1), generator=rng),
                torch.randn(weight.size(0), 2, generator=rng),
                1.0,
            )
            for key, weight in base.named_parameters()
            if key.endswith(("value.weight", "down.weight"))
        }
        of = base_named(models / "tiny", place)
        # peft leaves tokens in an adapter's tokenizer that were added, and for which the model has no row.
        beyond = max(0, base.config.vocab_size - tokenizer.vocab_size) + 1
        names = [f"<|new {number}|>" for number in range(beyond)]
        own = tokenizer.with_special_tokens(names, end_of_text=None) if name == "two" else tokenizer
        write_adapter(tmp_path / name, base.config, changes, own, base=of, rank=2, alpha=2.0)
    adapters = {name: tmp_path / name for name in ("one", "two")}
    question: dict[str, Any] = {"prompt": "the same beginning", "max_tokens": 30, "temperature": 0}
    with running([Entry(models / "tiny", ["tiny"], adapters)]) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
        assert [model.id for model in client.models.list()] == ["tiny", "one", "two"]
        with ThreadPoolExecutor(3) as pool:
            names = ("tiny", "one", "two")
            texts = list(
                pool.map(lambda name: client.completions.create(model=name, **question).choices[0].text, names)
            )
        assert len(set(texts)) == 3
    with running([Entry(tmp_path / "two", ["two"])]) as server:  # merged into the base
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
        assert client.completions.create(model="two", **question).choices[0].text == texts[2]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_server_that_is_writing(models: Path, step: Path | None, own_cache: Path) -> None:
    """The text that is being written ends with an error that says why; the process ends by itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if step is not None:
        (own_cache / "native").mkdir(exist_ok=True)
        (own_cache / "native" / step.name).symlink_to(step)
    command = [sys.executable, "-m", "homespun", "serve", str(models / "tiny"), "--port", str(port)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        lines = []
        while not (lines and lines[-1].startswith("Ctrl-C")):
            lines.append(process.stdout.readline())
            assert lines[-1] or process.poll() is None, lines
        assert any(f"http://127.0.0.1:{port}/v1" in line for line in lines)
        assert sum("curl" in line for line in lines) == 3
        body = {"prompt": "a", "max_tokens": LONG, "stream": True, "truncation": "auto", "ignore_eos": True}
        url = f"http://127.0.0.1:{port}/v1/completions"
        with httpx.stream("POST", url, json=body, timeout=PATIENCE) as stream:
            data = stream.iter_lines()
            next(data)
            process.send_signal(signal.SIGINT)
            *_, last = [line for line in data if line]
        assert "being stopped" in json.loads(last.removeprefix("data: "))["error"]["message"]
        assert process.wait(PATIENCE) == 130
        assert "Traceback" not in process.stdout.read()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_second_ctrl_c_ends_it_at_once_without_a_traceback(models: Path, own_cache: Path) -> None:
    command = [sys.executable, "-m", "homespun", "serve", str(models / "tiny"), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            url = line.strip() if line.startswith("http") else url
            if line.startswith("Ctrl-C"):
                break
        body = {"prompt": "a", "max_tokens": LONG, "stream": True, "truncation": "auto", "ignore_eos": True}
        with httpx.stream("POST", f"{url}/completions", json=body, timeout=PATIENCE) as stream:
            data = stream.iter_lines()
            next(data)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)  # it has been seen, or the second one is the first
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
        assert "Traceback" not in process.stdout.read()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_server_that_is_terminated_leaves_no_socket_file(models: Path, tmp_path: Path) -> None:
    place = tmp_path / "serve.sock"
    command = [sys.executable, "-m", "homespun", "serve", str(models / "tiny"), "--uds", str(place)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("Ctrl-C") for line in process.stdout)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(place))) as client:
            assert client.get("http://localhost/health").json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert "Traceback" not in process.stdout.read()
    assert not place.exists()


def test_many_who_come_and_go_leave_nothing_behind(served: Running) -> None:
    """A small soak: clients that read, leave early, send rubbish; every text that is read to its end is right."""
    url = f"{served.url}/v1/completions"

    async def visit(client: httpx.AsyncClient, number: int) -> str | None:
        body = {**asked(number % 4), "stream": True}
        body |= body.pop("extra_body")
        if number % 5 == 0:
            rubbish = await client.post(url, content=b"{" * number, headers=JSON)
            assert rubbish.status_code == 400
            return None
        async with client.stream("POST", url, json=body) as answer:
            text = ""
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    text += json.loads(line[6:])["choices"][0]["text"]
                if number % 3 == 0 and len(text) > 5:
                    return None  # it leaves
        return text

    async def all_of_them() -> list[str | None]:
        limits = httpx.Limits(max_connections=24)
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE) as client:
            return await asyncio.gather(*(visit(client, number) for number in range(120)))

    texts = asyncio.run(all_of_them())
    for kind in range(4):
        whole = {text for number, text in enumerate(texts) if text is not None and number % 4 == kind}
        assert len(whole) == 1
    engines = served.server.engines
    until(lambda: not engines.live and not engines.works)
    assert not any(engines.texts.values())
    assert engine_of(served).runner.manager.free_blocks() == engine_of(served).runner.manager.number


def test_while_the_model_is_loaded_health_says_so_and_requests_wait(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_load, serve = threading.Event(), loading.serve

    def serve_later(*place: Any, **options: Any) -> Any:
        assert may_load.wait(PATIENCE)
        return serve(*place, **options)

    monkeypatch.setattr(loading, "serve", serve_later)
    with running([Entry(models / "tiny", ["tiny"])], is_loaded=False) as server, ThreadPoolExecutor(1) as pool:
        try:
            answer = httpx.get(f"{server.url}/health", timeout=PATIENCE)
            assert answer.status_code == 503 and answer.json()["error"]["code"] == "loading"
            asked = pool.submit(
                httpx.post,
                f"{server.url}/v1/completions",
                json={"model": "tiny", "prompt": "a", "max_tokens": 2},
                timeout=PATIENCE,
            )
            with pytest.raises(futures.TimeoutError):
                asked.result(timeout=0.2)
        finally:
            may_load.set()
        assert asked.result().json()["usage"]["completion_tokens"] == 2
        until(lambda: httpx.get(f"{server.url}/health").json() == {"status": "ok"})


def test_a_model_that_cannot_be_loaded_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with serving.listening(serving.Address(port=0)) as sockets, pytest.raises(HomespunError):
        serving.run(
            [Entry(tmp_path, ["broken"])],
            sockets,
            settings={"device": "cpu", "weights": "float32"},
            options=Options(),
            rules=Rules(port=sockets[0].getsockname()[1]),
        )
