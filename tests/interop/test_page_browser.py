"""A page in a browser, from a file, with the network off: it proves itself, writes, and shows its inside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homespun.errors import CheckpointError
from homespun.generation.settings import Sampling
from homespun.generation.text import generate
from homespun.interop.page.weights import unpacked
from homespun.interop.page.write import read_page
from homespun.tokenizer.chat_marks import with_chat_template
from tests.checkpoint.models import EVERY_KIND
from tests.interop.browsers import done, opened, problems_of, proof_of, written
from tests.interop.pages import exported, model_of, tokenizer_of

GREEK = "Μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος\nοὐλομένην, ἣ μυρί᾽ Ἀχαιοῖς ἄλγε᾽ ἔθηκε\n" * 4
HINDI = "सब मनुष्य स्वतंत्र हैं, और अधिकारों में समान।\nहिन्दी में लिखा एक वाक्य।\n" * 4
EMOJI = "rain 🌧️ then sun ☀️ and a family 👩‍👩‍👧 with a flag 🇩🇪\n" * 6


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = tokenizer_of("char")
    out = tmp_path_factory.mktemp("page") / "page.html"
    exported(model_of("modern", tokenizer), tokenizer, out, prove=False)
    return out


def test_a_page_proves_itself_writes_and_goes_on_from_an_alternative(page: Path) -> None:
    tokenizer = tokenizer_of("char")
    model = unpacked(read_page(page)[1], model_of("modern", tokenizer).config)
    with opened(page, viewport={"width": 1100, "height": 900}) as tab:
        assert proof_of(tab)["holds"]
        assert proof_of(tab)["written"] == 30
        text = written(tab, "let us ", seed=7)
        sampling = Sampling(seed=7)
        assert text == "let us " + generate(model, tokenizer, "let us ", max_tokens=60, sampling=sampling)
        tab.locator(".mirror span[data-n='9']").hover(force=True)
        alternative = tab.locator(".popup .choices button").nth(1)
        token = alternative.locator(".token").inner_text().replace("␣", " ").replace("↵", "\n")
        alternative.click()
        tab.locator(".popup").wait_for(state="detached")
        assert done(tab).startswith(text[:9] + token)
        tab.get_by_role("button", name="Undo").click()
        assert tab.input_value("textarea") == text
        tab.get_by_role("button", name="attention").click()
        tab.locator(".mirror span.a8").first.wait_for()
        drawn = (
            "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
        )
        assert tab.locator(".maps canvas").evaluate(drawn)


@pytest.mark.browser
def test_the_export_runs_its_page_in_chromium_where_there_is_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.interop.page import contents, proof

    if proof.browser() is None:
        pytest.skip("there is no Chromium here")
    monkeypatch.setattr(proof, "node", lambda: None)
    tokenizer = tokenizer_of("char")
    done = exported(model_of("modern", tokenizer), tokenizer, tmp_path / "page.html")
    assert done.proof is not None
    assert done.proof.by == "Chromium"
    assert (done.proof.written, done.proof.tried) == (30, 30)
    honest = contents.config_data
    monkeypatch.setattr(contents, "config_data", lambda config: {**honest(config), "norm_eps": 0.5})
    with pytest.raises(CheckpointError, match="does not compute the model"):
        exported(model_of("modern", tokenizer), tokenizer, tmp_path / "other.html")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(page: Path, scheme: str) -> None:
    with opened(page, color_scheme=scheme, bypass_csp=True) as tab:
        written(tab, "let us ")
        assert problems_of(tab) == []
        for view in ("attention", "logit lens", "embedding"):
            tab.get_by_role("button", name=view).click()
            tab.locator(".inside .hint").first.wait_for()
            for summary in tab.locator("summary").all():
                if summary.evaluate("one => !one.parentElement.open"):
                    summary.click()
            assert problems_of(tab) == [], view


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scale"), [(360, 2), (550, 2)])  # a phone; 1,100 pixels at 200%
def test_nothing_is_wider_than_a_phone_or_a_zoomed_window(page: Path, width: int, scale: int) -> None:
    with opened(page, viewport={"width": width, "height": 800}, device_scale_factor=scale) as tab:
        written(tab, "let us spin a yarn, and another, " * 3)
        for view in ("attention", "logit lens", "embedding"):
            tab.get_by_role("button", name=view).click()
            tab.locator(".inside .hint").first.wait_for()
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


@pytest.mark.browser
def test_everything_is_reached_by_keyboard(page: Path) -> None:
    with opened(page) as tab:
        tab.get_by_label("seed").fill("2")
        tab.get_by_label("tokens").fill("12")
        tab.locator("textarea").focus()
        tab.keyboard.type("spin")
        tab.keyboard.press("Control+Enter")
        text = done(tab)
        assert len(text) == 16
        for _ in range(10):
            tab.keyboard.press("ArrowLeft")
        tab.get_by_role("heading", name=re.compile("Instead of")).wait_for()
        tab.wait_for_timeout(500)
        second = tab.locator("aside .choices button .token").nth(1).inner_text()
        tab.keyboard.press("Alt+Digit2")
        tab.wait_for_timeout(300)
        assert done(tab).startswith(text[:6] + second.replace("␣", " ").replace("↵", "\n"))
        tab.keyboard.press("Control+z")
        tab.wait_for_timeout(200)
        assert tab.input_value("textarea") == text
        reached = set()
        for _ in range(60):
            tab.keyboard.press("Tab")
            reached.add(tab.evaluate("document.activeElement.textContent || document.activeElement.id"))
        assert {"temperature", "top-k", "top-p", "min-p", "attention", "embedding", "Undo"} <= reached


@pytest.mark.browser
def test_escape_stops_a_long_text(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char", documents=1)  # nothing else ends its texts
    exported(model_of("modern", tokenizer), tokenizer, tmp_path / "page.html", prove=False)
    with opened(tmp_path / "page.html") as tab:
        tab.get_by_label("tokens").fill("1000000")
        tab.fill("textarea", "spin")
        tab.keyboard.press("Control+Enter")
        tab.locator(".tools", has_text="Stop").wait_for()
        tab.keyboard.press("Escape")
        assert 4 < len(done(tab)) < 1_000_000


@pytest.mark.browser
def test_an_unknown_character_is_named_and_nothing_is_lost(page: Path) -> None:
    with opened(page) as tab:
        tab.fill("textarea", "spin Ω")
        assert "“Ω”" in tab.locator(".problem").inner_text()
        assert tab.get_by_role("button", name="Continue").is_disabled()
        tab.fill("textarea", "spin ")
        tab.locator(".problem").wait_for(state="detached")


@pytest.mark.browser
@pytest.mark.parametrize("lack", ["delete window.Worker", "delete window.Worker; delete window.WebAssembly"])
def test_a_browser_without_workers_or_webassembly_computes_the_same(page: Path, lack: str) -> None:
    with opened(page) as tab:
        text = written(tab, "well ", seed=5)
    with opened(page, before=lack) as tab:
        assert proof_of(tab)["holds"]
        assert written(tab, "well ", seed=5) == text


@pytest.mark.browser
@pytest.mark.parametrize("family", EVERY_KIND)
def test_every_family_opens(family: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bpe:330")
    exported(model_of(family, tokenizer), tokenizer, tmp_path / "page.html", prove=False)
    with opened(tmp_path / "page.html") as tab:
        assert proof_of(tab)["holds"]
        assert len(written(tab, "spin")) > 4
        tab.get_by_role("button", name="attention").click()
        hint = tab.locator(".inside .hint").first.inner_text()
        assert ("needs" in hint) is (family == "bigram")


@pytest.mark.browser
@pytest.mark.parametrize(("kind", "text"), [("char", GREEK), ("byte", HINDI), ("char", EMOJI), ("bpe:300", EMOJI)])
def test_any_script_is_written_in_whole_characters(kind: str, text: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(kind, text=text)
    exported(model_of("llama", tokenizer), tokenizer, tmp_path / "page.html", prove=False)
    model = unpacked(read_page(tmp_path / "page.html")[1], model_of("llama", tokenizer).config)
    with opened(tmp_path / "page.html") as tab:
        assert proof_of(tab)["holds"]
        prompt = text[:12]
        expected = generate(model, tokenizer, prompt, max_tokens=60, sampling=Sampling(seed=4))
        assert written(tab, prompt, seed=4) == prompt + expected
        assert tab.locator(".mirror").inner_text().startswith(prompt.split("\n")[0])


@pytest.mark.browser
def test_a_model_with_a_chat_template_answers(tmp_path: Path) -> None:
    tokenizer = with_chat_template(tokenizer_of("char"))
    exported(model_of("modern", tokenizer, context_length=96), tokenizer, tmp_path / "page.html", prove=False)
    with opened(tmp_path / "page.html", bypass_csp=True) as tab:
        tab.get_by_label("Your message").fill("spin a yarn")
        tab.keyboard.press("Enter")
        tab.locator(".unseen", has_text="done").wait_for(state="attached")
        assert tab.locator(".chat li.user p").inner_text() == "spin a yarn"
        assert tab.locator(".chat li.assistant").count() == 1
        assert problems_of(tab) == []
        tab.get_by_role("button", name="Text").click()
        assert len(written(tab, "spin")) > 4
