"""homespun data doctor, as a person sees it and as a program does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.dataset.test_doctor import BOOK


def test_it_says_what_was_found_where_and_what_to_do(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text(BOOK.replace("e ", "â€™ ", 400) + "\x1b[31m", encoding="utf-8")
    outcome = run("data", "doctor", str(path))
    assert outcome.code == 0 and outcome.err == "" and "\x1b" not in outcome.out
    assert "book.txt" in outcome.out.replace("\n", "")  # its folder's name may be longer than a line
    for words in (
        f"{len(BOOK) + 805:,} characters",
        "encoding damage",
        "(warn)",
        "400 places",
        "(note)",
    ):
        assert words in outcome.out
    assert "    ftfy -o mended.txt FILE" in outcome.out.splitlines()  # whole, to be copied


def test_of_a_healthy_text_it_says_what_it_looked_for(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text(BOOK, encoding="utf-8")
    outcome = run("data", "doctor", str(path))
    assert outcome.code == 0 and "Nothing found" in outcome.out and "near-duplicates" in outcome.out
    assert run("data", "doctor", str(path), "--json").json["findings"] == []


def test_json(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("a" * 500, encoding="utf-8")
    found = run("data", "doctor", str(path), "--json").json
    assert found["characters"] == 500 and found["alphabet_size"] == 1 and "leakage" in found["looked_for"]
    assert [(finding["kind"], finding["severity"]) for finding in found["findings"]] == [
        ("too little text", "stop")
    ]
    assert found["findings"][0]["what"] and found["findings"][0]["todo"]


def test_a_field_can_be_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    lines = [line for line in BOOK.splitlines() if line]
    path.write_text("".join(f'{{"id": "\ufffd", "said": "{line}"}}\n' for line in lines), encoding="utf-8")
    assert run("data", "doctor", str(path), "--field", "said", "--json").json["findings"] == []
    whole = run("data", "doctor", str(path), "--field", "id", "--json").json["findings"]
    assert [(finding["kind"], finding["severity"]) for finding in whole] == [("too little text", "stop")]


def test_without_a_text_it_is_the_one_that_train_takes(run: Run, shakespeare_path: Path) -> None:
    assert "tiny Shakespeare" in run("data", "doctor").out


def test_a_text_that_is_not_there_is_an_error(run: Run, tmp_path: Path) -> None:
    outcome = run("data", "doctor", str(tmp_path / "missing.txt"))
    assert outcome.code == 1 and "missing.txt" in outcome.err and outcome.out == ""


@pytest.mark.parametrize("columns", [40, 80])
def test_sentences_keep_to_the_width_of_the_terminal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    (tmp_path / "b.txt").write_text(BOOK.replace("e", "\ufffd", 9), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    shown = run("data", "doctor", "b.txt").out
    assert max(map(len, shown.splitlines())) <= columns and "9 characters are lost" in shown
