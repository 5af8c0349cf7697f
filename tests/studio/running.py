"""A studio in this process, over a folder of its own: real sockets, real processes for trainings."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from homespun.server import serving as sockets
from homespun.server.guard import Rules
from homespun.studio import serving
from tests.patience import PATIENCE

TOKEN = "a-token-of-the-tests"
TEXT = "\n".join(
    f"{who} {does} the {what} {when}."
    for who in ("A cat", "The dog", "My uncle", "Nobody", "The old king")
    for does in ("sees", "wants", "paints", "forgets", "has lost")
    for what in ("moon", "garden", "river", "kettle", "letter", "blue door")
    for when in ("today", "at night", "on Sunday", "again", "in the rain")
)
SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 16, "batch_size": 2, "compile": False, "evaluate_every": 5}


@dataclass
class RunningStudio:
    """url: without a slash at its end. The client shows the token, as a program does."""

    folder: Path
    url: str
    port: int
    process: sockets.Process
    client: httpx.Client = field(repr=False)

    def get(self, path: str, status: int = 200, /, **query: Any) -> Any:
        return self.checked(self.client.get(path, params=query), status)

    def post(self, path: str, status: int = 200, /, **body: Any) -> Any:
        return self.checked(self.client.post(path, json=body), status)

    def checked(self, answer: httpx.Response, status: int) -> Any:
        assert answer.status_code == status, answer.text
        said = answer.json()
        return said["error"] if status >= 400 else said

    def job(self, job: str) -> Any:
        """The job, when it has ended."""
        return until(lambda: found if (found := self.get("/api/job", job=job))["ended"] is not None else None)

    def run(self, run: str) -> Any:
        return next((one for one in self.get("/api/runs")["runs"] if one["run"] == run), None)

    def in_state(self, run: str, *states: str) -> Any:
        return until(lambda: found if (found := self.run(run)) and found["state"] in states else None)

    def events(self, path: str, /, *, last: str | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Each with its id, name and data."""
        headers = {} if last is None else {"Last-Event-ID": last}
        with self.client.stream("GET", path, params=query, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            event: dict[str, Any] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if not line and event:
                    yield event
                    event = {}
                elif name == "data":
                    event["data"] = json.loads(value)
                elif name:
                    event[name] = value


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (value := found()) is not None:
            return value
        time.sleep(0.1)
    raise AssertionError("it never happened")


@contextlib.contextmanager
def running(folder: Path, *, static: Path | None = None, **rules: Any) -> Iterator[RunningStudio]:
    """Over that folder; a second one may follow, as after a crash."""
    ready = threading.Event()
    found: list[sockets.Process] = []

    def tell(process: sockets.Process) -> None:
        found.append(process)
        ready.set()

    with sockets.listening(sockets.Address(port=0)) as bound:
        port = bound[0].getsockname()[1]

        def work() -> None:
            serving.run(
                folder,
                bound,
                rules=Rules(port=port, **rules),
                token=TOKEN,
                static=static or folder / "no page",
                ready=tell,
                is_alone=False,
            )

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert ready.wait(PATIENCE), "the studio does not start"
        url = f"http://127.0.0.1:{port}"
        own = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE)
        try:
            yield RunningStudio(folder, url, port, found[0], own)
        finally:
            own.close()
            found[0].server.is_stopping = True
            found[0].should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


@contextlib.contextmanager
def own_cache_for(folder: Path) -> Iterator[None]:
    """The cache for a studio that serves several tests."""
    import pytest

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOMESPUN_CACHE", str(folder))
        yield
