"""The commands that we tell to type are commands that work where they are typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from homespun.cli.screens.plain import program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bin" / "homespun"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(path)])
    return path


def test_a_name_that_the_shell_finds_is_enough(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{installed.parent}{os.pathsep}/usr/bin")
    assert program() == "homespun"


def test_else_the_path_that_was_called(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert program() == str(installed)


def test_another_one_on_the_path_is_not_this_one(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "homespun"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert program() == str(installed)


def test_called_as_a_module_the_name_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/homespun/__main__.py"])
    assert program() == "homespun"
