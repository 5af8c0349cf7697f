"""A studio for all browser tests, over a folder in which a model was trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homespun.studio.static_files import STATIC
from tests.studio.browsing import train
from tests.studio.running import TEXT, RunningStudio, own_cache_for, running


@pytest.fixture(scope="package")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache of the studio")


@pytest.fixture(autouse=True)
def cache_of_the_studio(own_cache: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The studio answers in this process: it looks for the text of a run where the trainings have left it."""
    monkeypatch.setenv("HOMESPUN_CACHE", str(cache))


@pytest.fixture(scope="package")
def studio(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[RunningStudio]:
    home = tmp_path_factory.mktemp("studio") / "home"
    home.mkdir()
    (home / "book.txt").write_text(TEXT, encoding="utf-8")
    with (
        own_cache_for(cache),
        running(home, static=STATIC) as studio,
    ):
        yield studio


@pytest.fixture(scope="package")
def run(studio: RunningStudio) -> str:
    """A model that was trained here."""
    return train(studio, "first", steps=20)
