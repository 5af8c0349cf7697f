"""What an exercise says to an answer, and what a lesson says of its text."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch

from homespun import lessons
from homespun.errors import DownloadFailed, TextUnreadable
from homespun.lessons import check, open_text
from tests.lessons import test_execution


@pytest.mark.parametrize("module", [lessons, test_execution])
def test_the_examples_of_the_docstrings_hold(module) -> None:
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (..., "Not answered yet"),
        (None, "Not answered yet"),
        ([1, ...], "Not answered yet"),
        ((..., 2), "Not answered yet"),
        (3, "✓ Right."),
        (torch.tensor(3), "✓ Right."),
        (4, "✗ Not yet. Open the hint"),
        ("three", "✗ Not yet. Open the hint"),
        (torch.tensor([3, 4]), "✗ Not yet: that cannot be checked (RuntimeError: Boolean value of Tensor"),
    ],
)
def test_an_answer_of_any_kind_gets_a_word(answer, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(answer, lambda answer: answer == 3)
    assert capsys.readouterr().out.startswith(said)


def test_a_check_that_fails_says_how_and_raises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    check(5, lambda answer: len(answer) == 3, "Make a list of three.")
    said = (
        "✗ Not yet: that cannot be checked (TypeError: object of type 'int' has no len()). Make a list of three.\n"
    )
    assert capsys.readouterr().out == said


def test_the_text_is_tiny_shakespeare_where_it_can_be_had(
    shakespeare_text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_text() == (shakespeare_text, True)
    assert capsys.readouterr().out == "The text is tiny Shakespeare: 1,115,394 characters.\n"


def test_another_text_is_taken_and_named_where_it_cannot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from homespun.text.corpus import Corpus
    from homespun.text.sources import read as read_text

    (tmp_path / "plays.txt").write_text("Enter a messenger. " * 200_000)

    def read(name: str) -> Corpus:
        if name == "shakespeare":
            raise DownloadFailed("It could not be downloaded.")
        return read_text(name)

    monkeypatch.setattr("homespun.text.sources.read", read)
    monkeypatch.setattr(
        "homespun.text.named.default_corpus", lambda: (read(str(tmp_path / "plays.txt")), "because")
    )
    found, is_shakespeare = open_text()
    assert (len(found), is_shakespeare) == (2_000_000, False)
    said = capsys.readouterr().out
    assert said.startswith("Tiny Shakespeare cannot be had here: It could not be downloaded.\n")
    assert "exact numbers are skipped" in said


def test_a_wrong_copy_is_not_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tinyshakespeare.txt").write_text("something else")
    monkeypatch.setenv("HOMESPUN_DATA", str(tmp_path))
    with pytest.raises(TextUnreadable):
        open_text()
