"""Clients that come, read, leave and send rubbish, as long as you like: every text is right, memory stays flat.

    python -m tests.soak.serving --minutes 60

64 clients at once over real sockets. Whoever reads a text to its end compares it with what the same request said
alone. Ends with 1 where one differs, where a request fails that should not, where memory grows, or where a place
in the engine is not given back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

from homespun.server.models import Entry
from tests.server.running import Running, make_model, running

CLIENTS = 64
KINDS = 40  # different requests
GROWTH = 40e6  # bytes that memory may grow by after the first fifth of the time


def body_of(kind: int) -> dict[str, Any]:
    rng = random.Random(kind)
    body: dict[str, Any] = {
        "prompt": "the same beginning "[: rng.randint(0, 19)] + "and more " * rng.randint(0, 8),
        "max_tokens": rng.randint(1, 150),
        "seed": kind,
        "temperature": rng.choice([0, 0.8, 1.5]),
        "truncation": "auto",
    }
    extras: list[dict[str, Any]] = [
        *({"logprobs": 2}, {"stop": ["e", "th"]}, {"n": 3}, {"top_k": 5}, {"frequency_penalty": 1.0}),
        *({"structured_outputs": {"regex": "[a-m]{5,20}"}}, {"ignore_eos": True}, {"logit_bias": {"101": 3}}),
    ]
    return body | rng.choice(extras)


async def alone(client: httpx.AsyncClient, url: str, kind: int) -> list[str]:
    answer = await client.post(url, json=body_of(kind))
    assert answer.status_code == 200, answer.text
    return [choice["text"] for choice in answer.json()["choices"]]


async def visitor(url: str, expected: list[list[str]], until: float, seed: int, seen: Counter[str]) -> None:
    rng = random.Random(seed)
    async with httpx.AsyncClient(timeout=None) as client:  # beside other programs it may take minutes
        while time.monotonic() < until:
            kind = rng.randrange(KINDS)
            act = rng.choice([read_whole, read_whole, read_stream, leave, rubbish])
            try:
                await act(client, url, expected, kind, rng, seen)
            except (httpx.TransportError, AssertionError) as error:
                seen["failed"] += 1
                print(f"{act.__name__} of kind {kind} failed: {error!r}", flush=True)


async def read_whole(client: Any, url: str, expected: Any, kind: int, rng: Any, seen: Counter[str]) -> None:
    seen["wrong" if await alone(client, url, kind) != expected[kind] else "whole"] += 1


async def read_stream(client: Any, url: str, expected: Any, kind: int, rng: Any, seen: Counter[str]) -> None:
    texts = [""] * len(expected[kind])
    done = False
    async with client.stream("POST", url, json={**body_of(kind), "stream": True}) as answer:
        assert answer.status_code == 200, (await answer.aread())[:500]
        async for line in answer.aiter_lines():
            done = done or line == "data: [DONE]"
            if line.startswith("data: {"):
                event = json.loads(line[6:])
                assert "choices" in event, line[:500]
                choice = event["choices"][0]
                texts[choice["index"]] += choice["text"]
    assert done, "the stream ended before [DONE]"
    seen["wrong" if texts != expected[kind] else "streamed"] += 1


async def leave(client: Any, url: str, expected: Any, kind: int, rng: Any, seen: Counter[str]) -> None:
    """In the middle of the head, of the body, of the answer; with a long text."""
    content = json.dumps({**body_of(kind), "max_tokens": 10**6, "stream": rng.random() < 0.5}).encode()
    host = httpx.URL(url)
    head = f"POST {host.path} HTTP/1.1\r\nHost: {host.host}:{host.port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
    _, writer = await asyncio.open_connection(host.host, host.port)
    writer.write(request if rng.random() < 0.7 else request[: rng.randrange(len(request))])
    await asyncio.sleep(rng.random() * 0.1)
    if rng.random() < 0.3:  # with a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()
    seen["left"] += 1


async def rubbish(client: Any, url: str, expected: Any, kind: int, rng: Any, seen: Counter[str]) -> None:
    content = rng.choice([b"{", b"[]", b'{"prompt": 3}', b'{"n": 99}', rng.randbytes(50), b'{"prompt": [999]}'])
    answer = await client.post(url, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and set(answer.json()) == {"error"}, answer.text
    seen["rubbish"] += 1


async def watch(minutes: float, seen: Counter[str], until: float) -> tuple[float, float, float]:
    """Bytes of memory at the start, after the first fifth of the time, and at the end."""
    process, settled, most = psutil.Process(), 0.0, 0.0
    start = float(process.memory_info().rss)
    began = time.monotonic()
    while time.monotonic() < until:
        await asyncio.sleep(min(5.0, minutes * 6))
        most = process.memory_info().rss
        if time.monotonic() - began < minutes * 12 or not settled:
            settled = most
        print(f"{time.monotonic() - began:6.0f} s  {most / 1e6:6.0f} MB  {dict(seen)}", flush=True)
    return start, settled, most


async def soak(server: Running, minutes: float) -> int:
    url = f"{server.url}/v1/completions"
    seen: Counter[str] = Counter()
    async with httpx.AsyncClient(timeout=None) as client:  # beside other programs it may take minutes
        expected = [await alone(client, url, kind) for kind in range(KINDS)]
    until = time.monotonic() + 60 * minutes
    visitors = [visitor(url, expected, until, seed, seen) for seed in range(CLIENTS)]
    (start, settled, end), *_ = await asyncio.gather(watch(minutes, seen, until), *visitors)
    await asyncio.sleep(2.0)
    engines = server.server.engines
    (engine,) = {served.engine for served in server.server.models.loaded}
    manager = engine.runner.manager
    left_behind = len(engines.live) + len(engine.active) + manager.number - manager.free_blocks()
    memory = [f"{bytes / 1e6:.0f}" for bytes in (start, settled, end)]
    print(
        f"{seen['wrong']} wrong texts, {seen['failed']} failed requests, {left_behind} places not given back; "
        f"MB of memory: {memory[0]} at the start, {memory[1]} after a fifth, {memory[2]} at the end"
    )
    bad = seen["wrong"] or seen["failed"] or left_behind
    return int(bool(bad) or end - settled > GROWTH)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.serving", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder) / "tiny", context=128)
        with running([Entry(Path(folder) / "tiny", ["tiny"])], wait=True) as server:
            return asyncio.run(soak(server, minutes))


if __name__ == "__main__":
    raise SystemExit(main())
