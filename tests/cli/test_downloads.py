"""How far a download is, where a person sees it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from homespun.api.train_setup import choose_corpus
from homespun.cli.screens import terminal as screen
from homespun.cli.screens.live import Live
from homespun.fetch import progress
from homespun.training.log_lines import LogLines
from tests.cli.conftest import Run
from tests.web import TEXT


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, markup=False)


def written_on(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_lines_has_one_for_each_download(server: str) -> None:
    out = io.StringIO()
    choose_corpus((f"{server}/text", f"{server}/unsized"), None, LogLines(out))
    assert out.getvalue() == f"downloading {server}/text, 2 KB\ndownloading {server}/unsized\n"


def test_in_a_terminal_training_shows_how_far_a_download_is(server: str) -> None:
    console = terminal()
    with Live(console) as watcher:
        choose_corpus((f"{server}/text",), None, watcher)
        watcher.downloaded("[red]/a.txt", 640_000, 5_400_000)
        watcher.bar.refresh()
        assert watcher.bar.tasks[0].total == 5_400_000
        watcher.downloaded("[red]/a.txt", 5_400_000, 5_400_000)
        assert watcher.bar.tasks == []
    assert "downloading [red]/a.txt, 640 KB of 5.4 MB" in written_on(console)


def test_data_show_says_what_it_downloads_beside_what_it_shows(server: str, run: Run) -> None:
    outcome = run("data", "show", f"{server}/text", "--json")
    assert outcome.code == 0 and outcome.json["characters"] == len(TEXT.decode())
    assert outcome.err == f"downloading {server}/text, 2 KB\n"


def test_in_a_terminal_the_line_that_says_what_goes_on_says_how_far_a_download_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = terminal()
    monkeypatch.setattr(screen, "console", lambda *, errors: console)
    with screen.working("measuring"):
        list(progress.with_progress([b"x" * 640_000], "a.txt", 5_400_000))
    assert "measuring …" in written_on(console)
    monkeypatch.setattr(console, "file", io.StringIO())
    with screen.working("measuring"):
        blocks = progress.with_progress([b"x" * 640_000, b"x"], "a.txt", 5_400_000)
        next(blocks)
        console._live_stack[-1].refresh() if hasattr(console, "_live_stack") else console._live.refresh()
    assert "downloading a.txt, 640 KB of 5.4 MB" in written_on(console)
