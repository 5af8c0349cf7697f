"""`homespun lessons`: the notebooks come into a folder of the user's, and what is in it stays."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from homespun.cli import lessons as verb
from homespun.errors import TextNotFound, WriteFailed
from tests.lessons.form import LESSONS, lessons


def run(*arguments: object) -> Result:
    return CliRunner().invoke(verb.command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_all_of_them_are_put_there_and_shown(tmp_path: Path) -> None:
    result = run(tmp_path / "course")
    assert result.exit_code == 0
    for path in [*lessons(), *LESSONS.glob("scripts/*.py")]:
        copy = tmp_path / "course" / path.relative_to(LESSONS)
        assert copy.read_bytes() == path.read_bytes()
        assert str(copy) in result.output
    assert "The bigram of lesson 2: it learns which character follows which, and generates text." in result.output
    assert f"-m jupyter lab {tmp_path}/course/01-text-to-numbers.ipynb" in result.output


def test_without_a_folder_they_go_into_one_called_lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run()
    assert len(list(Path("lessons").glob("*.ipynb"))) == len(lessons())


def test_what_the_user_has_changed_is_never_written_over(tmp_path: Path) -> None:
    run(tmp_path)
    mine = tmp_path / lessons()[0].name
    mine.write_text("my answers")
    (tmp_path / lessons()[1].name).unlink()
    result = run(tmp_path)
    assert mine.read_text() == "my answers"
    assert f"left as they are: {mine.name}\n" in result.output
    assert (tmp_path / lessons()[1].name).exists(), "what was missing is there again"


def test_a_second_time_nothing_is_said_of_what_is_unchanged(tmp_path: Path) -> None:
    assert run(tmp_path).output == run(tmp_path).output


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteFailed, match="should be a folder"):
        run(tmp_path / "file" / "lessons")


def test_they_are_found_where_a_package_puts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "share" / "homespun" / "lessons"
    run(shared)
    listed = [metadata.PackagePath(str(path.relative_to(tmp_path))) for path in shared.rglob("*.*")]
    for path in listed:
        path.dist = metadata.Distribution.at(tmp_path / "homespun-1.dist-info")
    monkeypatch.setattr(verb.metadata, "files", lambda name: listed)
    monkeypatch.setattr(verb, "__file__", str(tmp_path / "lib" / "homespun" / "cli" / "lessons.py"))
    assert verb.home() == shared.resolve()


def test_an_installation_without_them_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "__file__", str(tmp_path / "lib" / "homespun" / "cli" / "lessons.py"))
    monkeypatch.setattr(verb.metadata, "files", lambda name: None)
    with pytest.raises(TextNotFound, match="installed without them"):
        run(tmp_path)


def test_it_takes_no_torch() -> None:
    code = "from homespun.cli.lessons import command; command(['course'], standalone_mode=False)"
    code = f"import os, sys, tempfile; os.chdir(tempfile.mkdtemp()); {code}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
