"""What is done with a model in Chromium: compared, carried on, exported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.studio.browsing import address, browsing, state_of, train
from tests.studio.running import RunningStudio, until

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
