"""The studio's page in Chromium. Fails where it asked another machine for anything, or logged an error."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interop.browsers import AXE, CHROMIUM
from tests.studio.running import SMALL, TOKEN, RunningStudio

BOOK = {"kind": "path", "path": "book.txt"}
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
MOST = 180_000  # milliseconds until something that is waited for is there: a training, too


@contextmanager
def browsing(studio: RunningStudio, path: str = "#/", **context: Any) -> Iterator[Any]:
    """A tab with a session, at that address of the page. refused: answers of 4xx and 5xx that are expected."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    refused = context.pop("refused", False)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            tab = browser.new_context(**context).new_page()
            tab.set_default_timeout(MOST)
            asked: list[str] = []
            errors: list[str] = []
            tab.on("request", lambda request: asked.append(request.url))
            tab.on("pageerror", lambda error: errors.append(str(error)))
            tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            tab.goto(f"{studio.url}/#token={TOKEN}")
            tab.locator(".where").wait_for()
            tab.goto(f"{studio.url}/{path}")
            yield tab
            elsewhere = [url for url in asked if not url.startswith((f"{studio.url}/", "blob:", "data:"))]
            assert not elsewhere, elsewhere
            errors = [one for one in errors if not (refused and "Failed to load resource" in one)]
            assert not errors, errors
        finally:
            browser.close()


def address(run: str, part: str, **query: str) -> str:
    search = f"?{urllib.parse.urlencode(query)}" if query else ""
    return f"#/runs/{urllib.parse.quote(run, safe='')}/{part}{search}"


def train(studio: RunningStudio, name: str, *, steps: int, context: int = 32, **settings: Any) -> str:
    asked = {
        "text": BOOK,
        "steps": steps,
        "tokenizer": "char",
        "context": context,
        "settings": {**SMALL, **settings},
    }
    plan = studio.job(studio.post("/api/act/plan", **asked)["job"])
    assert plan["state"] == "done", plan["problem"]
    started: str = studio.post("/api/act/train", plan=plan["job"], name=name)["run"]
    studio.in_state(started, "finished")
    return started


def done(tab: Any) -> str:
    """Waits until the model has written; the text."""
    tab.locator(".unseen", has_text="done").wait_for(state="attached")
    tab.locator(".mirror span").first.wait_for(state="attached")
    text: str = tab.input_value(".sheet textarea")
    return text


def state_of(tab: Any, state: str) -> str:
    shown = tab.locator(f".state.{state}").first
    shown.wait_for()
    text: str = shown.inner_text()
    return text


def problems_of(tab: Any) -> list[str]:
    """What axe finds wrong with the page: opened with bypass_csp, for it is one more script."""
    if not AXE.is_file():
        pytest.skip("axe is not here: run `npm ci` in web/")
    tab.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = tab.evaluate("async () => (await axe.run()).violations")
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]
