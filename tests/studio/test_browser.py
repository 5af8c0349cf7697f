"""The page over the real server and real trainings, in Chromium: everything that a person would do with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homespun.studio.static_files import STATIC
from tests.studio.browsing import address, browsing, problems_of
from tests.studio.running import SMALL, TEXT, RunningStudio, own_cache_for, running, until

pytestmark = pytest.mark.browser
BOOK = {"kind": "path", "path": "book.txt"}
PROMPT = "The dog "


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache of the studio")


@pytest.fixture(autouse=True)
def cache_of_the_studio(own_cache: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The studio answers in this process: it looks for the text of a run where the trainings have left it."""
    monkeypatch.setenv("HOMESPUN_CACHE", str(cache))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[RunningStudio]:
    home = tmp_path_factory.mktemp("studio") / "home"
    home.mkdir()
    (home / "book.txt").write_text(TEXT, encoding="utf-8")
    with (
        own_cache_for(cache),
        running(home, static=STATIC) as studio,
    ):
        yield studio


@pytest.fixture(scope="module")
def run(studio: RunningStudio) -> str:
    """A model that was trained here."""
    return train(studio, "first", steps=20)


def train(studio: RunningStudio, name: str, *, steps: int, **settings: Any) -> str:
    asked = {"text": BOOK, "steps": steps, "tokenizer": "char", "context": 32, "settings": {**SMALL, **settings}}
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


def test_whoever_has_no_token_is_told_how_to_get_in(studio: RunningStudio) -> None:
    with browsing(studio, refused=True) as tab:
        tab.context.clear_cookies()
        tab.goto("about:blank")
        tab.goto(f"{studio.url}/#/")
        tab.get_by_role("heading", name="This browser has no key yet").wait_for()


def test_the_token_does_not_stay_in_the_address(studio: RunningStudio) -> None:
    with browsing(studio) as tab:
        assert "token" not in tab.url
        assert tab.evaluate("document.cookie") == ""


def test_from_a_text_to_a_training_that_is_watched_reloaded_stopped_and_resumed(studio: RunningStudio) -> None:
    with browsing(studio) as tab:
        tab.get_by_role("link", name="Train", exact=True).click()
        tab.get_by_role("button", name="book.txt").click()
        tab.locator(".preview", has_text="A cat sees the moon today.").wait_for()
        plan = tab.locator(".planned")
        plan.get_by_text("expected at the end").wait_for()
        assert re.search(r"memory\s+[\d.]+ [MG]B", plan.inner_text())
        assert plan.locator("canvas").count() == 1
        start = tab.get_by_role("button", name="Start the training")
        tab.get_by_label("How long may it take?").press("ArrowRight")
        tab.get_by_text("Planning anew").wait_for()
        assert start.is_disabled(), "a plan that is being replaced can be started"
        assert tab.get_by_label("How long may it take?").get_attribute("aria-valuetext") == "7 min"
        tab.get_by_label("name").fill("watched")
        until(lambda: start.is_enabled() or None)
        start.click()
        tab.wait_for_url("**/run")
        assert "step" in state_of(tab, "training")
        # The page is reloaded in the middle, and another tab opened: both show the run as it is.
        tab.reload()
        state_of(tab, "training")
        other = tab.context.new_page()
        other.goto(f"{studio.url}/#/")
        other.get_by_role("link", name="watched").wait_for()
        other.close()
        tab.get_by_text("the model wrote").wait_for()
        tab.get_by_text("Show numbers").click()
        rows = tab.locator(".behind tbody tr")
        before = rows.count()
        until(lambda: rows.count() > before or None)
        tab.get_by_role("button", name="Stop", exact=True).click()
        stopped = state_of(tab, "stopped")
        assert "step" in stopped
        tab.get_by_role("button", name="Resume").click()
        state_of(tab, "training")
        tab.get_by_role("button", name="Stop", exact=True).click()
        state_of(tab, "stopped")
    assert studio.run("runs/watched")["state"] == "stopped"


def test_a_finished_run_is_met_by_writing_with_it(studio: RunningStudio, run: str) -> None:
    with browsing(studio, viewport={"width": 1200, "height": 900}) as tab:
        tab.get_by_role("link", name="first", exact=True).click()
        tab.fill(".sheet textarea", PROMPT)
        tab.locator(f".mirror span[data-n='{len(PROMPT) - 1}']").wait_for(state="attached")
        tab.get_by_label("tokens").fill("30")
        tab.get_by_label("tokens").press("Enter")
        tab.locator(".sheet textarea").press("Tab")
        text = done(tab)
        assert text.startswith(PROMPT)
        assert len(text) == len(PROMPT) + 30
        until(lambda: tab.locator(".mirror span").count() == len(text) or None)
        # Another character at a place: the text goes on from it.
        tab.locator(".mirror span[data-n='8']").hover(force=True)
        alternative = tab.locator(".popup .choices button").nth(1)
        token = alternative.locator(".token").inner_text().replace("␣", " ").replace("↵", "\n")
        alternative.click()
        tab.locator(".popup").wait_for(state="detached")
        until(lambda: tab.input_value(".sheet textarea") != text or None)
        assert done(tab).startswith(PROMPT + token)
        tab.get_by_role("button", name="Undo").click()
        assert tab.input_value(".sheet textarea") == text
        # The text and the settings are there after a reload.
        tab.reload()
        tab.locator(".mirror span").first.wait_for(state="attached")
        assert tab.input_value(".sheet textarea") == text
        assert tab.get_by_label("tokens").input_value() == "30"


def test_the_same_seed_writes_the_same_and_esc_stops(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "write", seed="7", tokens="40")) as tab:
        texts = []
        for _ in range(2):
            tab.fill(".sheet textarea", PROMPT)
            tab.get_by_role("button", name="Continue").click()
            until(lambda: len(tab.input_value(".sheet textarea")) == len(PROMPT) + 40 or None)
            texts.append(done(tab))
        assert texts[0] == texts[1]
        tab.get_by_label("tokens").fill("5000")
        tab.get_by_label("tokens").press("Enter")
        tab.locator(".sheet textarea").press("Control+Enter")
        tab.get_by_role("button", name="Stop").wait_for()
        tab.locator(".sheet textarea").press("Escape")
        tab.get_by_role("button", name="Continue").wait_for()
        assert len(tab.input_value(".sheet textarea")) < len(texts[0]) + 5000


def test_tab_leaves_the_text_after_esc(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "write")) as tab:
        area = tab.locator(".sheet textarea")
        area.click()
        area.press("Escape")
        area.press("Tab")
        assert tab.evaluate("document.activeElement.tagName") != "TEXTAREA"


def test_a_character_that_the_model_does_not_know_is_named(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "write")) as tab:
        tab.fill(".sheet textarea", "漢")
        tab.get_by_role("alert").get_by_text("The model does not know “漢”").wait_for()


def test_the_sliders_weigh_the_same_logits_without_asking_the_model(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "write")) as tab:
        tab.fill(".sheet textarea", PROMPT)
        tab.locator("aside .choices li").first.wait_for()
        tab.wait_for_timeout(500)
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        before = tab.locator("aside .choices .share").first.inner_text()
        area = tab.locator(".sheet textarea").element_handle()
        slider = tab.get_by_label("temperature")
        for _ in range(12):
            slider.press("ArrowLeft")
        until(lambda: tab.locator("aside .choices .share").first.inner_text() != before or None)
        assert not [url for url in asked if "/api/inside" in url]
        assert area.is_visible(), "a setting in the address builds the page anew"


def test_attention_the_lens_and_the_embedding_are_shown_for_the_text(studio: RunningStudio, run: str) -> None:
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    with browsing(studio, address(run, "inside"), viewport={"width": 1200, "height": 1000}) as tab:
        tab.fill(".sheet textarea", "A cat sees the moon")
        canvas = tab.locator(".maps canvas")
        canvas.wait_for()
        assert canvas.evaluate(drawn)
        tab.locator(".mirror span.a8").first.wait_for()
        tab.get_by_role("button", name="Logit lens").click()
        tab.locator(".lens td").first.wait_for()
        tab.get_by_role("button", name="Embedding").click()
        tab.locator("canvas.embedding").wait_for()
        assert "look=embedding" in tab.url


def test_neurons_parameters_and_copied_text_are_shown(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "inside", look="neurons")) as tab:
        tab.locator(".list button").first.click()
        tab.locator(".coloured [class*=p8], .coloured [class*=n8]").first.wait_for()
        tab.get_by_role("button", name="Parameters", exact=True).click()
        tab.get_by_title("blocks.0.feed_forward.up.weight").click()
        tab.locator("figcaption", has_text="blocks.0.feed_forward.up.weight").wait_for()
        tab.get_by_role("button", name="Does it copy?").click()
        tab.fill(".sheet textarea", TEXT[:120])
        tab.get_by_role("button", name=re.compile("^copied: ")).first.click()
        tab.locator("blockquote mark").wait_for()
    with browsing(studio, address(run, "run", film="1")) as tab:
        tab.locator(".slider input").press("ArrowLeft")
        tab.locator(".slider input[aria-valuetext='step 15']").wait_for()


def test_two_models_are_compared_on_one_text(studio: RunningStudio, run: str) -> None:
    other = train(studio, "second", steps=5)
    with browsing(studio, address(run, "compare", **{"with": other})) as tab:
        tab.fill("textarea.both", "The old king has lost the kettle at night.")
        tab.locator(".figures.two dd").first.wait_for()
        tab.locator(".difference [class^=m], .difference [class^=p]").first.wait_for()
        tab.get_by_role("button", name="Let both go on").click()
        tab.locator(".unseen", has_text="done").wait_for(state="attached")
        assert tab.locator(".beside .written").count() == 2
    with browsing(studio, address(run, "run", **{"with": other})) as tab:
        tab.get_by_role("cell", name="5", exact=True).first.wait_for()
        assert tab.locator(".key.run-1").inner_text() == "second"


def test_an_export_is_checked_and_downloaded(studio: RunningStudio, run: str, tmp_path: Path) -> None:
    with browsing(studio, address(run, "export", to="gguf")) as tab:
        tab.get_by_role("button", name="Export").click()
        tab.get_by_text("are the same choice").first.wait_for()
        with tab.expect_download() as download:
            tab.get_by_role("link", name=re.compile(r"Download .*\.gguf")).click()
        download.value.save_as(tmp_path / "model.gguf")
        assert (tmp_path / "model.gguf").read_bytes()[:4] == b"GGUF"


def test_a_file_that_is_picked_is_uploaded_and_read(studio: RunningStudio, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("Dear Anna, the kettle is lost.\n" * 200, encoding="utf-8")
    with browsing(studio, "#/train") as tab:
        tab.locator("input[type=file]").set_input_files(str(tmp_path / "letters.txt"))
        tab.locator(".preview", has_text="Dear Anna").wait_for()
        assert "text=upload" in tab.url


def test_a_run_that_is_not_there_says_so(studio: RunningStudio) -> None:
    with browsing(studio, address("runs/nobody", "run"), refused=True) as tab:
        tab.get_by_role("alert").first.wait_for()


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
    "finetune": "finetune?text=path%3Abook.txt",
    "export": "export",
}
READY = {"plan": ".figures", "run": ".figures", "write": ".choices", "inside": ".maps", "lens": ".lens"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(studio: RunningStudio, run: str, scheme: str) -> None:
    before = f"localStorage.setItem('homespun text {run}', 'A cat sees the moon today.\\n')"
    found = {}
    with browsing(studio, color_scheme=scheme, bypass_csp=True) as tab:
        tab.evaluate(before)
        for name, path in PAGES.items():
            tab.goto("about:blank")
            tab.goto(f"{studio.url}/" + (path if path.startswith("#") else address(run, path)))
            tab.locator(READY.get(name, "main h1")).first.wait_for()
            tab.wait_for_timeout(300)
            if problems := problems_of(tab):
                found[name] = problems
    assert found == {}


@pytest.mark.parametrize("width", [320, 640])
def test_no_page_is_wider_than_a_phone_or_than_a_window_at_twice_the_size(
    studio: RunningStudio, run: str, width: int
) -> None:
    too_wide = {}
    with browsing(studio, viewport={"width": width, "height": 800}) as tab:
        for name, path in PAGES.items():
            tab.goto("about:blank")
            tab.goto(f"{studio.url}/" + (path if path.startswith("#") else address(run, path)))
            tab.locator("main h1").first.wait_for()
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
