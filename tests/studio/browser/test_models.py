"""What is done with a model in Chromium: compared, fine-tuned, talked to, carried on, exported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.studio.browsing import address, browsing, state_of, train
from tests.studio.running import TEXT, RunningStudio, until

pytestmark = pytest.mark.browser
CHECKED = re.compile(
    r"checked by [^\n]+\n([\d.]+)%\n+of ([\d,]+) next tokens are the same choice; divergence ([\d.e-]+) nats"
)


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


def test_a_model_is_compared_with_itself_in_int8(studio: RunningStudio, run: str) -> None:
    text = "The old king has lost the kettle at night."
    with browsing(studio, address(run, "compare", **{"with": f"{run}@int8"})) as tab:
        tab.fill("textarea.both", text)
        figures = tab.locator(".figures.two dd:not(.hint)")
        until(lambda: figures.count() == 2 or None)
        assert tab.locator(".figures.two dt").nth(1).inner_text() == "first, weights in int8"
        for figure, name in zip(figures.all_inner_texts(), (run, f"{run}@int8"), strict=True):
            cells = studio.post("/api/inside/surprise", run=name, text=text)["cells"]
            bits = [cell["bits"] for cell in cells if cell["bits"] is not None]
            assert float(figure) == pytest.approx(sum(bits) / len(bits), abs=10 ** -len(figure.partition(".")[2]))
        tab.get_by_role("button", name="Let both go on").click()
        tab.locator(".unseen", has_text="done").wait_for(state="attached")
        assert tab.locator(".beside h2").all_inner_texts() == ["first", "first, weights in int8"]


def test_a_model_is_fine_tuned_on_conversations_and_then_answers_and_is_compared(
    studio: RunningStudio,
) -> None:
    base = train(studio, "base", steps=10, context=128)
    talk = [
        {"messages": [{"role": "user", "content": f"The {one}."}, {"role": "assistant", "content": said}]}
        for one, said in zip(("moon", "garden", "river", "kettle") * 10, TEXT.splitlines(), strict=False)
    ]
    lines = "".join(json.dumps(one) + "\n" for one in talk)
    (studio.folder / "talk.jsonl").write_text(lines, encoding="utf-8")
    with browsing(studio, address(base, "chat"), viewport={"width": 1200, "height": 900}) as tab:
        tab.get_by_text("This model has not learned to answer").wait_for()
        tab.get_by_role("link", name="Fine-tune it on conversations").click()
        tab.get_by_role("button", name="talk.jsonl").click()
        tab.locator("dl.talk").wait_for()
        tab.get_by_label("How long may it take?").press("Home")
        tab.get_by_label("name").fill("answers")
        tab.get_by_role("button", name="Start the fine-tuning").click()
        tab.wait_for_url("**/run")
        state_of(tab, "finished")
        assert studio.run("runs/answers")["tuned_from"] == "base"
        tab.get_by_role("link", name="Chat", exact=True).click()
        tab.get_by_label("Your message").fill("The kettle.")
        tab.get_by_label("Your message").press("Enter")
        tab.locator(".unseen", has_text="done").wait_for(state="attached")
        said = tab.locator(".chat li.assistant p").inner_text()
        tab.get_by_label("show how surprising each piece was").check()
        shades = tab.locator(".chat li.assistant p span[class^=s]")
        until(lambda: not said.strip() or shades.count() or None)
        tab.reload()  # the conversation is there again
        assert tab.locator(".chat li.user p").inner_text() == "The kettle."
        tab.get_by_role("button", name="Take back").click()
        assert tab.locator(".chat li.user").count() == 0
        # Beside the model that it comes from: the same text; and a question, which only one of them can answer.
        tab.get_by_role("link", name="Compare", exact=True).click()
        tab.fill("textarea.both", "The dog wants the garden today.")
        until(lambda: tab.locator(".figures.two dt").all_inner_texts() == ["answers", "base"] or None)
        tab.get_by_role("button", name="the same question").click()
        tab.get_by_text("base has not learned to answer").wait_for()
        tab.locator("select").first.select_option("runs/answers@int8")
        tab.get_by_label("The question for both models").fill("The moon.")
        tab.get_by_role("button", name="Ask both").click()
        tab.locator(".unseen", has_text="done").wait_for(state="attached")
        assert tab.locator(".beside h2").all_inner_texts() == ["answers", "answers, weights in int8"]
        assert "…" not in tab.locator(".beside .written").all_inner_texts()


def test_a_finished_run_is_carried_on_by_its_button(studio: RunningStudio) -> None:
    short = train(studio, "short", steps=10)
    with browsing(studio, address(short, "run")) as tab:
        assert "finished after 10 steps" in state_of(tab, "finished")
        tab.get_by_label(re.compile("carry on for")).fill("0.5")
        tab.get_by_role("button", name="Extend").click()
        state_of(tab, "training")
        finished = state_of(tab, "finished")
        assert "finished after 10 steps" not in finished
    assert studio.run(short)["step"] > 10


def test_an_export_is_checked_and_downloaded(studio: RunningStudio, run: str, tmp_path: Path) -> None:
    with browsing(studio, address(run, "export", to="gguf")) as tab:
        tab.get_by_role("button", name="Export").click()
        tab.get_by_text("are the same choice").first.wait_for()
        report = tab.locator("section", has_text="are the same choice").inner_text()
        checked = CHECKED.search(report)
        assert checked is not None, report
        same, positions, divergence = (float(number.replace(",", "")) for number in checked.groups())
        job = re.search("job=([0-9a-f]+)", tab.url)
        assert job is not None
        found = studio.job(job[1])["export"]
        (check, *_) = found["checks"]
        assert positions == check["positions"] > 0 and same == pytest.approx(
            100 * check["same_choice"] / positions, abs=0.06
        )
        assert divergence == pytest.approx(check["divergence"], rel=0.06)
        assert f"{found['loss']:.4f}" in report and f"{found['loss_before']:.4f}" in report
        with tab.expect_download() as download:
            tab.get_by_role("link", name=re.compile(r"Download .*\.gguf")).click()
        download.value.save_as(tmp_path / "model.gguf")
        assert (tmp_path / "model.gguf").read_bytes()[:4] == b"GGUF"
