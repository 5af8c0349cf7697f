"""The page over the real server and real trainings, in Chromium: training, watching, writing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.studio.browsing import address, browsing, done, state_of
from tests.studio.running import RunningStudio, until

pytestmark = pytest.mark.browser
PROMPT = "The dog "


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


def test_a_file_that_is_picked_is_uploaded_and_read(studio: RunningStudio, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("Dear Anna, the kettle is lost.\n" * 200, encoding="utf-8")
    with browsing(studio, "#/train") as tab:
        tab.locator("input[type=file]").set_input_files(str(tmp_path / "letters.txt"))
        tab.locator(".preview", has_text="Dear Anna").wait_for()
        assert "text=upload" in tab.url


def drop(tab: Any, place: str, *paths: Path) -> None:
    """Files and folders of the disk are dropped on a part of the page, as by a file manager."""
    box = tab.locator(place).bounding_box()
    session = tab.context.new_cdp_session(tab)
    what = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": what})


def test_a_folder_that_is_dropped_is_uploaded_with_all_that_is_in_it(
    studio: RunningStudio, tmp_path: Path
) -> None:
    letters = tmp_path / "letters"
    (letters / "1987").mkdir(parents=True)
    (letters / "anna.txt").write_text("Dear Anna, the kettle is lost.\n" * 100, encoding="utf-8")
    (letters / "1987" / "otto.txt").write_text("Dear Otto, so it is here.\n" * 100, encoding="utf-8")
    with browsing(studio, "#/train") as tab:
        tab.locator(".drop").wait_for()
        drop(tab, ".drop", letters)
        tab.locator(".preview", has_text="Dear Anna").wait_for()
        tab.locator(".preview", has_text="Dear Otto").wait_for()
        tab.get_by_text("in 2 documents").wait_for()
        assert "text=upload" in tab.url


def test_a_folder_below_the_studios_is_taken_whole(studio: RunningStudio) -> None:
    inner = studio.folder / "diaries" / "old"
    inner.mkdir(parents=True)
    for name in ("one", "two", "three"):
        (inner / f"{name}.txt").write_text(f"Today is day {name}, and the moon is blue.\n" * 60, encoding="utf-8")
    with browsing(studio, "#/train") as tab:
        tab.get_by_role("button", name="diaries/").click()
        tab.get_by_role("button", name="old/").click()
        tab.get_by_role("button", name="three.txt").wait_for()
        tab.get_by_role("button", name="‹ back").click()
        tab.get_by_role("button", name="take all of old").click()
        tab.get_by_text("in 3 documents").wait_for()
        assert "text=path%3Adiaries%2Fold" in tab.url


def test_a_run_that_is_not_there_says_so(studio: RunningStudio) -> None:
    with browsing(studio, address("runs/nobody", "run"), refused=True) as tab:
        tab.get_by_role("alert").first.wait_for()


def test_conversations_are_no_text_to_train_on_and_the_page_says_where_they_belong(
    studio: RunningStudio,
) -> None:
    talk = {
        "messages": [{"role": "user", "content": "The moon."}, {"role": "assistant", "content": "It is blue."}]
    }
    (studio.folder / "only-talk.jsonl").write_text((json.dumps(talk) + "\n") * 20, encoding="utf-8")
    with browsing(studio, "#/train?text=path%3Aonly-talk.jsonl") as tab:
        tab.get_by_text("That is a conversation").wait_for()
        assert tab.get_by_role("button", name="Start the training").count() == 0
