"""How every page behaves in Chromium: for assistive programs, on narrow screens, hidden, and when it is left."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.studio.browsing import address, browsing, problems_of
from tests.studio.running import TEXT, RunningStudio

pytestmark = pytest.mark.browser


def test_a_hidden_tab_asks_nothing(studio: RunningStudio, run: str) -> None:
    hide = """hidden => {
        Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    with browsing(studio, address(run, "run")) as tab:
        tab.locator(".state").wait_for()
        tab.evaluate(hide, True)
        tab.wait_for_timeout(500)
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.wait_for_timeout(3000)
        assert asked == []
        tab.evaluate(hide, False)
        with tab.expect_request(re.compile("/api/run/events")):
            tab.evaluate(hide, True)
            tab.evaluate(hide, False)


def test_a_run_that_is_left_is_asked_for_no_more(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "run")) as tab:
        tab.locator(".figures").wait_for()
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.get_by_role("link", name="Runs", exact=True).click()
        tab.get_by_role("heading", name="Runs").wait_for()
        tab.wait_for_timeout(500)
        assert not [url for url in asked if "/api/run" in url], asked
        tab.go_back()
        tab.locator(".figures").wait_for()
        assert {url.partition("run=")[2] for url in asked if "/api/run?" in url} == {run.replace("/", "%2F")}


PAGES = {
    "home": "#/",
    "train": "#/train",
    "plan": "#/train?text=path%3Abook.txt&minutes=1",
    "run": "run",
    "write": "write",
    "chat": "chat",
    "compare": "compare",
    "inside": "inside",
    "lens": "inside?look=lens",
    "embedding": "inside?look=embedding",
    "heads": "inside?look=heads&off=0.1",
    "neurons": "inside?look=neurons&neuron=0.0",
    "parameters": "inside?look=parameters&matrix=token_embedding.weight",
    "copied": "inside?look=copied",
    "finetune": "finetune?text=path%3Abook.txt",
    "export": "export",
}
LOOKS = ("heads", "neurons", "parameters", "copied")
READY = {
    **{"plan": ".figures", "run": ".figures", "write": ".choices", "inside": ".maps", "lens": ".lens"},
    **{"heads": ".cards li", "neurons": ".coloured", "parameters": "figcaption", "copied": ".text [role=button]"},
}


def open_all(tab: Any) -> None:
    """What is behind a click, too: the places where heads are surest, tables, the first of the copies."""
    tab.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")
    if (piece := tab.locator(".text [role=button]")).count():
        piece.first.click()
    tab.wait_for_timeout(300)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(studio: RunningStudio, run: str, scheme: str) -> None:
    before = f"localStorage.setItem('homespun text {run}', {json.dumps(TEXT[:120])})"
    found = {}
    with browsing(studio, color_scheme=scheme, bypass_csp=True) as tab:
        tab.evaluate(before)
        for name, path in PAGES.items():
            tab.goto("about:blank")
            tab.goto(f"{studio.url}/" + (path if path.startswith("#") else address(run, path)))
            tab.locator(READY.get(name, "main h1")).first.wait_for()
            tab.wait_for_timeout(300)
            if name in LOOKS:
                open_all(tab)
            if problems := problems_of(tab):
                found[name] = problems
    assert found == {}


@pytest.mark.parametrize("width", [320, 640])
def test_no_page_is_wider_than_a_phone_or_than_a_window_at_twice_the_size(
    studio: RunningStudio, run: str, width: int
) -> None:
    long = f"{'one-word-' * 12}.txt"
    (studio.folder / long).write_text(TEXT, encoding="utf-8")
    pages = {**PAGES, "long name": f"#/train?text=path%3A{long}"}
    too_wide = {}
    with browsing(studio, viewport={"width": width, "height": 800}) as tab:
        for name, path in pages.items():
            tab.goto("about:blank")
            tab.goto(f"{studio.url}/" + (path if path.startswith("#") else address(run, path)))
            tab.locator("main h1").first.wait_for()
            if name == "long name":
                tab.locator(".preview").wait_for()
            tab.wait_for_timeout(300)
            if (over := tab.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
                too_wide[name] = over
    assert too_wide == {}


def test_moving_over_the_curve_is_quick_while_both_cores_compute(studio: RunningStudio, run: str) -> None:
    """The longest that the page itself works on one movement: everything that it shows is there already."""
    with browsing(studio, address(run, "run"), viewport={"width": 1200, "height": 900}) as tab:
        plot = tab.locator(".curve .plot")
        tab.locator(".sample blockquote").wait_for()
        box = plot.bounding_box()
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        for n in range(20):
            tab.mouse.move(box["x"] + 60 + n * 40, box["y"] + 80)
        assert not [url for url in asked if "/api/" in url and "events" not in url]
