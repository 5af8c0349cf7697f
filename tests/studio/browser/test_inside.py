"""The inside of a model in Chromium: what each view shows, and that all of it can be had by keyboard."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.studio.browsing import address, browsing
from tests.studio.running import TEXT, RunningStudio, until

pytestmark = pytest.mark.browser
WITHOUT = re.compile(r"Loss without .*?: ([\d.]+) nats, ([−+][\d.]+) against ([\d.]+)\.")


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


def loss_without(tab: Any, heads: str) -> tuple[float, float, float]:
    """What the page says of the heads that are off: the loss without them, its change, the loss with all."""
    status = tab.locator(".inside [role=status]", has_text=f"Loss without {heads}:")
    status.wait_for()
    found = WITHOUT.search(status.inner_text())
    assert found is not None, status.inner_text()
    without, change, loss = (float(number.replace("−", "-")) for number in found.groups())
    return without, change, loss


def test_a_head_is_switched_off_and_the_page_says_by_how_much_the_loss_changes(
    studio: RunningStudio, run: str
) -> None:
    with browsing(studio, address(run, "inside", look="heads"), viewport={"width": 1200, "height": 900}) as tab:
        tab.locator(".inside [role=status]", has_text="Loss with all heads").wait_for()
        switch = tab.get_by_role("switch", name="layer 0, head 0")
        assert switch.get_attribute("aria-checked") == "true"
        switch.click()
        without, change, loss = loss_without(tab, "this head")
        assert switch.get_attribute("aria-checked") == "false"
        one = studio.post("/api/inside/ablation", run=run, heads=[[0, 0]], text=None)
        assert (without, change, loss) == pytest.approx((one["without"], one["change"], one["loss"]), abs=6e-4)
        assert change != 0
        tab.get_by_role("switch", name="layer 0, head 1").click()
        both = studio.post("/api/inside/ablation", run=run, heads=[[0, 0], [0, 1]], text=None)
        assert loss_without(tab, "these 2 heads")[0] == pytest.approx(both["without"], abs=6e-4)
        # They are off in another tab, and after a reload; and on again.
        tab.reload()
        assert loss_without(tab, "these 2 heads")[0] == pytest.approx(both["without"], abs=6e-4)
        tab.get_by_role("button", name="Switch all on").click()
        tab.locator(".inside [role=status]", has_text="Loss with all heads").wait_for()
        assert tab.locator("[role=switch][aria-checked=false]").count() == 0


def test_heads_are_switched_and_opened_by_keyboard(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "inside", look="heads")) as tab:
        switch = tab.get_by_role("switch", name="layer 0, head 1")
        switch.focus()
        tab.keyboard.press("Space")
        loss_without(tab, "this head")
        assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "layer 0, head 1"
        tab.keyboard.press("Enter")
        until(lambda: switch.get_attribute("aria-checked") == "true" or None)
        summary = tab.get_by_text("Surest places").first
        summary.focus()
        tab.keyboard.press("Enter")
        tab.locator(".cards ol li").first.wait_for()
        tab.get_by_label("order").focus()
        tab.keyboard.press("ArrowDown")
        assert tab.get_by_label("order").input_value() == "loss"


def test_neurons_are_chosen_and_the_text_is_gone_through_by_keyboard(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "inside", look="neurons")) as tab:
        first = tab.locator(".list button").first
        first.focus()
        tab.keyboard.press("Enter")
        text = tab.locator(".coloured")
        text.wait_for()
        assert first.get_attribute("aria-pressed") == "true"
        text.focus()
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press("ArrowRight")
        said = tab.locator(".hint[aria-live]", has_text="activation")
        said.wait_for()
        assert text.locator("[data-n='1'].at").count() == 1
        before = said.inner_text()
        tab.keyboard.press("End")
        until(lambda: said.inner_text() != before or None)


def test_parameters_and_copies_are_opened_by_keyboard(studio: RunningStudio, run: str) -> None:
    with browsing(studio, address(run, "inside", look="parameters")) as tab:
        tensor = tab.get_by_title("token_embedding.weight")
        tensor.focus()
        tab.keyboard.press("Space")
        tab.locator("figcaption", has_text="token_embedding.weight").wait_for()
        assert tensor.get_attribute("aria-pressed") == "true"
        tab.locator("details summary", has_text="Show numbers").first.focus()
        tab.keyboard.press("Enter")
        tab.locator(".inside td").first.wait_for()
        tab.get_by_role("button", name="Does it copy?").click()
        tab.fill(".sheet textarea", TEXT[:120])
        piece = tab.get_by_role("button", name=re.compile("^copied: ")).first
        piece.focus()
        tab.keyboard.press("Enter")
        tab.locator("blockquote mark").wait_for()


def test_pointing_at_the_text_asks_once_for_a_place_and_not_for_those_on_the_way(
    studio: RunningStudio, run: str
) -> None:
    with browsing(studio, address(run, "inside"), viewport={"width": 1200, "height": 1000}) as tab:
        tab.fill(".sheet textarea", "A cat sees the moon today.")
        tab.locator(".mirror span.a8").first.wait_for()
        tab.wait_for_timeout(1000)
        asked: list[int] = []
        tab.on(
            "request", lambda one: asked.append(one.post_data_json["place"]) if "attention" in one.url else None
        )
        spans = tab.locator(".mirror span")
        boxes = [spans.nth(n).bounding_box() for n in (2, 20)]
        for _ in range(3):
            for box in boxes:
                x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
                tab.mouse.move(x, y, steps=12)
                tab.wait_for_timeout(600)
        assert len(asked) == len(set(asked)), "a place was asked for twice"
        assert len(asked) < 8, "every place on the way was asked for"
