"""What the cache of datasets keeps, and what it lets go."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from homespun.dataset import unused
from homespun.dataset.preparation import Dataset, prepare, reopen
from homespun.fetch.cache import cache_folder
from tests.dataset.fakes import FakeCorpus, FakeTokenizer

DAY = 86400


def prepared(text: str, days_ago: float = 0) -> Dataset:
    dataset = prepare(FakeCorpus([text * 50]), FakeTokenizer("".join(sorted(set(text)))))
    then = time.time() - days_ago * DAY
    os.utime(dataset.folder / "meta.json", (then, then))
    return dataset


def is_there(dataset: Dataset) -> bool:
    return (dataset.folder / "meta.json").exists()


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unused, "MOST_BYTES", 0)


@pytest.mark.usefixtures("no_room")
def test_what_was_not_used_for_a_month_goes_when_something_new_comes() -> None:
    young, old = prepared("or not", days_ago=29), prepared("to be", days_ago=31)
    new = prepared("that is")
    assert [is_there(dataset) for dataset in (old, young, new)] == [False, True, True]
    assert not old.folder.exists() and not list(cache_folder("datasets").glob("*.draft"))


def test_while_there_is_room_everything_stays() -> None:
    old = prepared("to be", days_ago=1000)
    prepared("or not")
    assert is_there(old)


def test_the_oldest_go_first_and_only_as_many_as_have_to(monkeypatch: pytest.MonkeyPatch) -> None:
    older, old, newer = (prepared(text, days) for text, days in (("ab", 50), ("cd", 60), ("ef", 40)))
    size = max(kept.size for kept in unused.kept_in(cache_folder("datasets")))
    monkeypatch.setattr(unused, "MOST_BYTES", 2 * size)
    prepared("gh")
    assert [is_there(dataset) for dataset in (older, old, newer)] == [True, False, True]


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("how", ["prepared again", "opened by its run"])
def test_to_open_it_is_to_use_it(how: str) -> None:
    text, tokenizer = FakeCorpus(["to be" * 50]), FakeTokenizer("".join(sorted(set("to be"))))
    old = prepared("to be", days_ago=31)
    if how == "prepared again":
        assert prepare(text, tokenizer).already_there
    else:
        assert reopen(text.survey().key, tokenizer) is not None
    prepared("or not")
    assert is_there(old)


@pytest.mark.usefixtures("no_room")
@pytest.mark.skipif(os.name != "posix", reason="elsewhere the system keeps what is mapped")
def test_ids_that_a_run_has_mapped_stay_readable() -> None:
    old = prepared("to be", days_ago=31)
    ids = np.array(old.train.ids)
    prepared("or not")
    assert not is_there(old)
    assert np.array_equal(old.train.ids, ids)


def test_what_cannot_be_taken_away_does_not_stop_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    old, older = prepared("to be", days_ago=31), prepared("or not", days_ago=32)
    monkeypatch.setattr(unused, "MOST_BYTES", 0)
    original = unused.discard

    def refuse(folder: Path) -> None:
        if folder == older.folder:
            raise PermissionError(13, "Permission denied")
        original(folder)

    monkeypatch.setattr(unused, "discard", refuse)
    assert is_there(prepared("that is"))
    assert is_there(older) and not is_there(old)
