"""Pictures of the studio's pages, light and dark, for docs/studio.md.

    homespun studio FOLDER --no-open                                   # prints the address
    python docs/pictures/studio.py ADDRESS runs/shakespeare runs/shakespeare-small-talk

The first run is a finished training, the second what fine-tuning it on conversations gave. Needs playwright,
Pillow and a Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
WIDTH, TALLEST = 980, 1200
COLOURS = 32
TEXT = """ROMEO:
But soft, what light through yonder window breaks?
It is the east, and the moon is in the sun.

"""
COPIED = """First Citizen:
Before we proceed any further, hear me speak.

All:
Speak, speak.

First Citizen:
You are all"""


def page_of(run: str, part: str) -> str:
    return f"#/runs/{urllib.parse.quote(run, safe='')}/{part}"


def go_on(tab: Any, text: str = TEXT) -> None:
    """The model continues a text."""
    area = tab.locator(".sheet textarea")
    area.fill(text)
    tab.locator(f".mirror span[data-n='{len(text) - 1}']").wait_for(state="attached")
    tab.get_by_role("button", name="Continue").click()
    tab.locator(".unseen", has_text="done").wait_for(state="attached")
    tab.wait_for_timeout(1500)


def talk(tab: Any) -> None:
    for said in ("Hello.", "What is your name?", "Do you like the sea?"):
        tab.get_by_label("Your message").fill(said)
        tab.get_by_label("Your message").press("Enter")
        tab.get_by_role("button", name="Send").wait_for()
        tab.wait_for_timeout(500)
    tab.get_by_label("show how surprising each piece was").check()


def caret(tab: Any) -> None:
    """The likeliest next tokens at a place in the text."""
    tab.locator(".sheet textarea").evaluate("area => { area.focus(); area.setSelectionRange(19, 19); }")
    tab.keyboard.press("ArrowLeft")
    tab.locator("aside .choices li").first.wait_for()


def both(tab: Any) -> None:
    tab.locator("textarea.both").fill(TEXT)
    tab.locator(".difference span").first.wait_for()
    tab.get_by_role("button", name="Let both go on").click()
    tab.locator(".unseen", has_text="done").wait_for(state="attached")


def export(tab: Any) -> None:
    tab.get_by_label("replace an export").check()
    tab.get_by_role("button", name="Export").click()
    tab.get_by_text("are the same choice").first.wait_for()


def copied(tab: Any) -> None:
    go_on(tab, COPIED)
    tab.locator(".text [role=button]").first.click()
    tab.locator("blockquote mark").wait_for()


def wait_for(selector: str) -> Callable[[Any], None]:
    return lambda tab: tab.locator(selector).first.wait_for()


def heads(tab: Any) -> None:
    tab.get_by_text("Loss without this head").wait_for()
    tab.get_by_text("Without it: ").first.wait_for()


def film(tab: Any) -> None:
    tab.locator(".slider input").wait_for()
    tab.locator("canvas").last.scroll_into_view_if_needed()


def pages(run: str, tuned: str) -> dict[str, tuple[str, Callable[[Any], None], str | None]]:
    """name -> the address, what is done there, and the part of the page that is shown (None: all of it)."""
    return {
        "home": ("#/", wait_for(".runs"), None),
        "plan": ("#/train?text=named%3Ashakespeare&minutes=3", wait_for(".planned .figures"), None),
        "run": (page_of(run, "run"), wait_for(".sample"), None),
        "film": (page_of(run, "run?film=1"), film, "details:has(.slider)"),
        "write": (page_of(run, "write?seed=7&tokens=200"), lambda tab: (go_on(tab), caret(tab))[0], None),
        "chat": (page_of(tuned, "chat?seed=1"), talk, None),
        "compare": (page_of(tuned, f"compare?with={urllib.parse.quote(run, safe='')}"), both, None),
        "inside": (page_of(run, "inside"), wait_for(".maps canvas"), None),
        "lens": (page_of(run, "inside?look=lens"), wait_for(".lens td"), None),
        "heads": (page_of(run, "inside?look=heads&off=0.3"), heads, None),
        "neurons": (
            page_of(run, "inside?look=neurons"),
            lambda tab: tab.locator(".list button").nth(1).click(),
            None,
        ),
        "embedding": (page_of(run, "inside?look=embedding"), wait_for("canvas.embedding"), None),
        "parameters": (
            page_of(run, "inside?look=parameters&matrix=token_embedding.weight"),
            wait_for("figure canvas"),
            None,
        ),
        "copied": (page_of(run, "inside?look=copied&seed=7&tokens=80"), copied, None),
        "finetune": (page_of(run, "finetune?text=named%3Asmall-talk"), wait_for("dl.talk"), None),
        "export": (page_of(run, "export?to=gguf"), export, None),
    }


def save(shot: bytes, path: Path) -> None:
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, TALLEST)))
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


def main(address: str, run: str, tuned: str, *names: str) -> None:
    base = address.partition("#")[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            tab = browser.new_context(color_scheme=scheme, viewport={"width": WIDTH, "height": 800}).new_page()
            tab.set_default_timeout(180_000)
            tab.goto(address)
            tab.locator(".where").wait_for()
            for name, (path, act, part) in pages(run, tuned).items():
                if names and name not in names:
                    continue
                tab.goto("about:blank")
                tab.goto(base + path)
                act(tab)
                tab.wait_for_timeout(1500)
                shown = tab.screenshot(full_page=True) if part is None else tab.locator(part).first.screenshot()
                save(shown, HERE / f"studio-{name}-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
