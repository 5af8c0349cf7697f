"""A browser that opens pages from files, with the network off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
MOST = 60_000  # milliseconds until something that is waited for is there, on a machine with other work to do


@contextmanager
def opened(page: Path, **context: Any) -> Iterator[Any]:
    """The page in Chromium, proved. Fails where it asked for anything or logged an error; skips without one."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    script = context.pop("before", None)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            tab = browser.new_context(offline=True, **context).new_page()
            tab.set_default_timeout(MOST)
            asked: list[str] = []
            errors: list[str] = []
            tab.on("request", lambda request: asked.append(request.url))
            tab.on("pageerror", lambda error: errors.append(str(error)))
            tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            if script:
                tab.add_init_script(script)
            tab.goto(page.as_uri())
            tab.wait_for_selector("[data-proof]")
            yield tab
            elsewhere = [url for url in asked if not url.startswith(("file:", "blob:"))]
            assert not elsewhere, elsewhere
            assert not errors, errors
        finally:
            browser.close()


def proof_of(tab: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tab.get_attribute("[data-proof]", "data-proof"))
    return found


def done(tab: Any) -> str:
    """Waits until the model has written; the text."""
    tab.locator(".unseen", has_text="done").wait_for(state="attached")
    text: str = tab.input_value("textarea")
    return text


def written(tab: Any, prompt: str, *, seed: int = 1, tokens: int = 60) -> str:
    """The text after Continue, from a prompt, with a seed."""
    tab.fill("textarea", prompt)
    tab.get_by_label("seed").fill(str(seed))
    tab.get_by_label("tokens").fill(str(tokens))
    tab.get_by_role("button", name="Continue").click()
    return done(tab)


def problems_of(tab: Any) -> list[str]:
    """What axe finds wrong with a page: opened with bypass_csp, for it is one more script."""
    if not AXE.is_file():
        pytest.skip("axe is not here: run `npm ci` in web/")
    tab.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = tab.evaluate("async () => (await axe.run()).violations")
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]
