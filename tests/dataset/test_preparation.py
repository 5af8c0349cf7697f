"""Texts become shards: the right ids, once, whole or not at all."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homespun.dataset import pipeline, preparation, shards
from homespun.dataset.preparation import prepare, prepare_text
from homespun.dataset.shards import ShardWriter, id_type
from homespun.errors import NotEnoughText, TextUnreadable, UnknownCharacter, WriteFailed
from homespun.fetch.cache import cache_folder
from tests.dataset.fakes import FakeCorpus, FakeTokenizer, prepare_together
from tests.patience import PATIENCE

TEXT = "To be, or not to be, that is the question.\n" * 50


def tokenizer_for(corpus: FakeCorpus, **settings) -> FakeTokenizer:
    return FakeTokenizer("".join(corpus.texts), end=len(corpus.texts) > 1, **settings)


def entries() -> list[str]:
    return sorted(path.name for path in cache_folder("datasets").iterdir())


# What is in it


def test_tiny_shakespeare_is_split_and_numbered_as_in_the_tutorials(shakespeare_text):
    corpus = FakeCorpus([shakespeare_text], piece=2**18)
    dataset = prepare(corpus, tokenizer_for(corpus))
    assert (dataset.train.tokens, dataset.val.tokens) == (1_003_854, 111_540)
    assert (dataset.train.characters, dataset.val.characters) == (1_003_854, 111_540)
    assert dataset.train.ids[:18].tolist() == [
        18,
        47,
        56,
        57,
        58,
        1,
        15,
        47,
        58,
        47,
        64,
        43,
        52,
        10,
        0,
        14,
        43,
        44,
    ]
    assert dataset.train.ids.dtype == np.uint16
    assert dataset.vocab_size == 65


def test_a_dataset_says_what_it_holds():
    corpus = FakeCorpus(["größer! " * 100])
    dataset = prepare(corpus, tokenizer_for(corpus))
    assert (dataset.characters, dataset.bytes, dataset.tokens) == (800, 1000, 800)
    assert (dataset.train.characters, dataset.train.bytes) == (720, 900)
    assert (dataset.train.documents, dataset.val.documents) == (1, 1)
    assert dataset.characters_per_token == dataset.train.characters_per_token == 1
    assert dataset.bytes_per_token == dataset.val.bytes_per_token == 1.25
    assert dataset.how == "the last tenth of the text"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab\né漢😀", min_size=20, max_size=400), st.integers(1, 90))
def test_the_ids_of_one_document_are_its_text(text, piece):
    if len(set(text)) < 2:
        return
    corpus = FakeCorpus([text], piece)
    tokenizer = tokenizer_for(corpus)
    dataset = prepare(corpus, tokenizer)
    cut = int(0.9 * len(text))
    assert tokenizer.decode(dataset.train.ids) == text[:cut]
    assert tokenizer.decode(dataset.val.ids) == text[cut:]
    assert dataset.train.bytes == len(text[:cut].encode())
    assert dataset.val.bytes == len(text[cut:].encode())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("abcé😀", max_size=60), min_size=2, max_size=30), st.integers(1, 90))
def test_the_ids_of_many_documents_are_their_texts_with_an_end_after_each(texts, piece):
    corpus = FakeCorpus(texts, piece)
    tokenizer = tokenizer_for(corpus)
    try:
        dataset = prepare(corpus, tokenizer)
    except NotEnoughText:
        return
    train = tokenizer.decode(dataset.train.ids)
    val = tokenizer.decode(dataset.val.ids)
    several = sum(1 for text in texts if text) > 1
    for decoded, split in ((train, dataset.train), (val, dataset.val)):
        assert decoded.count("|") == (split.documents if several else 0)
        assert len(decoded.replace("|", "")) == split.characters
        assert len(decoded.replace("|", "").encode()) == split.bytes
    if "whole" in dataset.how:
        on_train, on_val = train.split("|")[:-1], val.split("|")[:-1]
        assert sorted(on_train + on_val) == sorted(text for text in texts if text)
        assert not set(on_train) & set(on_val)


def test_a_whole_text_to_measure_on_has_no_training_part():
    corpus = FakeCorpus([TEXT, "Aye, there's the rub.\n"])
    tokenizer = tokenizer_for(corpus)
    split = prepare_text(corpus, tokenizer)
    assert tokenizer.decode(split.ids) == TEXT + "|Aye, there's the rub.\n|"
    assert (split.name, split.documents) == ("text", 2)
    assert (split.characters, split.bytes) == (len(TEXT) + 22, len(TEXT) + 22)


def test_a_text_that_repeats_one_character_can_still_be_measured_on():
    assert prepare_text(FakeCorpus(["aaaa"]), FakeTokenizer("a")).tokens == 4


def test_a_vocabulary_beyond_two_bytes_takes_four():
    corpus = FakeCorpus([TEXT])
    assert prepare(corpus, tokenizer_for(corpus, vocab_size=2**16)).train.ids.dtype == np.uint16
    assert prepare(corpus, tokenizer_for(corpus, vocab_size=2**16 + 1)).train.ids.dtype == np.uint32


def test_a_shard_opens_with_numpy_alone():
    corpus = FakeCorpus([TEXT])
    dataset = prepare(corpus, tokenizer_for(corpus))
    assert np.array_equal(np.load(dataset.folder / "val.npy"), dataset.val.ids)
    assert isinstance(dataset.val.ids, np.memmap)


def test_progress_is_told_in_characters_and_ends_at_all_of_them():
    told: list[tuple[int, int]] = []
    corpus = FakeCorpus([TEXT] * 3, piece=100)
    prepare(corpus, tokenizer_for(corpus), on_progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (3 * len(TEXT), 3 * len(TEXT))


# Once


def test_a_second_time_opens_what_is_there_without_reading_the_text():
    corpus = FakeCorpus([TEXT])
    tokenizer = tokenizer_for(corpus)
    first = prepare(corpus, tokenizer)
    second = prepare(corpus, tokenizer)
    assert corpus.reads == 1
    assert (first.already_there, second.already_there) == (False, True)
    assert second.key == first.key
    assert np.array_equal(first.train.ids, second.train.ids)


def test_another_text_or_tokenizer_is_another_dataset():
    corpus = FakeCorpus([TEXT])
    keys = {
        prepare(corpus, tokenizer_for(corpus)).key,
        prepare(corpus, tokenizer_for(corpus, vocab_size=300)).key,
        prepare(FakeCorpus([TEXT + "x"]), FakeTokenizer(TEXT + "x")).key,
    }
    assert len(keys) == 3
    assert len(entries()) == 3


def damage_by_truncating(folder: Path) -> None:
    os.truncate(folder / "train.npy", 500)


def damage_by_zeros(folder: Path) -> None:
    with (folder / "train.npy").open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(bytes(100))


def damage_the_meta(folder: Path) -> None:
    (folder / "meta.json").write_text('{"format": 1, "splits": [{"name": "tr')


def damage_by_another_format(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "format": 0}))


def damage_by_losing_a_file(folder: Path) -> None:
    (folder / "val.npy").unlink()


def damage_by_a_file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("what is this doing here?")


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_truncating,
        damage_by_zeros,
        damage_the_meta,
        damage_by_another_format,
        damage_by_losing_a_file,
        damage_by_a_file_instead,
    ],
)
def test_what_is_damaged_is_made_anew(damage):
    corpus = FakeCorpus([TEXT])
    tokenizer = tokenizer_for(corpus)
    first = prepare(corpus, tokenizer)
    damage(first.folder)
    second = prepare(corpus, tokenizer)
    assert not second.already_there
    assert second.folder == first.folder
    assert tokenizer.decode(second.train.ids) + tokenizer.decode(second.val.ids) == TEXT
    assert entries() == [first.folder.name]


# Whole or not at all


def test_a_tokenizer_is_used_by_one_thread_at_a_time(monkeypatch):
    monkeypatch.setattr(pipeline, "BUNDLE_CHARACTERS", 500)

    class Busy(FakeTokenizer):
        at_work = 0

        def encode_array(self, text: str) -> np.ndarray:
            self.at_work += 1
            time.sleep(0.001)
            assert self.at_work == 1
            self.at_work -= 1
            return super().encode_array(text)

    corpus = FakeCorpus(["ab" * 5000], piece=200)
    tokenizer = Busy("ab")
    assert tokenizer.decode(prepare_text(corpus, tokenizer).ids) == "ab" * 5000


class Stopped(Exception):
    pass


def test_nothing_is_left_of_a_preparation_that_stopped():
    corpus = FakeCorpus([TEXT], piece=100)

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        prepare(corpus, tokenizer_for(corpus), on_progress=stop)
    assert entries() == []
    prepare(corpus, tokenizer_for(corpus))


def test_an_unknown_character_is_told_with_its_document_and_leaves_nothing():
    corpus = FakeCorpus(["abab" * 100, "abba\nab§" * 100], piece=64)
    with pytest.raises(UnknownCharacter) as error:
        prepare_text(corpus, FakeTokenizer("ab\n"))
    assert error.value.what == "In 1.txt: '§' is unknown."
    assert error.value.todo == "Leave it out."
    assert entries() == []


def test_an_unknown_character_far_into_a_document_says_from_which_line_it_was_counted():
    corpus = FakeCorpus(["ab\n" * 100 + "§"], piece=150)
    with pytest.raises(UnknownCharacter, match=r"^In 0\.txt, counted from its line 101: '§'"):
        prepare_text(corpus, FakeTokenizer("ab\n"))


@pytest.mark.parametrize(
    ("later", "says"),
    [
        (["ab" * 99, "cd" * 100], r"its document 1 of 2, 0\.txt, is not the one that was there before"),
        (["ab" * 100, "dc" * 100], r"its document 2 of 2, 1\.txt, is not the one"),
        (["ab" * 100], "it had 2 documents, and now has 1"),
        (["ab" * 100, "cd" * 100, "ef"], "it had 2 documents, and now has more"),
    ],
)
def test_a_text_that_changes_meanwhile_is_refused(later, says):
    corpus = FakeCorpus(["ab" * 100, "cd" * 100])
    survey = corpus.survey()
    corpus.survey = lambda: survey
    corpus.texts = later
    with pytest.raises(TextUnreadable, match=says):
        prepare(corpus, FakeTokenizer("abcdef", end=True))
    assert entries() == []


@pytest.mark.parametrize(
    ("later", "says"),
    [
        ("ab" * 99, "a fake text changed while it was read: it had 200 characters, and now has 198"),
        ("ba" * 100, "it still has 200 characters, but other ones"),
    ],
)
def test_one_document_that_changes_meanwhile_is_refused_even_at_the_same_length(later, says):
    corpus = FakeCorpus(["ab" * 100])
    survey = corpus.survey()
    corpus.survey = lambda: survey
    corpus.texts = [later]
    with pytest.raises(TextUnreadable, match=says) as error:
        prepare(corpus, FakeTokenizer("ab"))
    assert "or give a copy of it" in error.value.todo
    assert entries() == []


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_at_once_do_not_harm_each_other(damaged):
    if damaged:
        corpus = FakeCorpus([TEXT * 20], piece=300)
        damage_by_truncating(prepare(corpus, tokenizer_for(corpus)).folder)
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(3), context.SimpleQueue()
    workers = [context.Process(target=prepare_together, args=(TEXT * 20, start, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert [worker.exitcode for worker in workers] == [0] * 3
    found = {results.get() for _ in range(3)}
    assert len(found) == 1
    assert entries() == [found.pop()[0]]


def test_what_a_killed_process_left_is_taken_away_and_what_another_writes_is_not():
    old = cache_folder("datasets") / "1234.abcd.draft"
    new = cache_folder("datasets") / "1234.efgh.draft"
    for draft in (old, new):
        draft.mkdir()
        (draft / "train.npy").write_bytes(b"half of")
    long_ago = time.time() - 7200
    os.utime(old / "train.npy", (long_ago, long_ago))
    os.utime(old, (long_ago, long_ago))
    corpus = FakeCorpus([TEXT])
    dataset = prepare(corpus, tokenizer_for(corpus))
    assert entries() == sorted([new.name, dataset.folder.name])


# The disk


def test_a_disk_too_small_is_told_before_it_is_full(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**7, 9 * 10**6, 10**6))
    corpus = FakeCorpus(["ab" * 2**20], piece=2**18)
    done = []
    with pytest.raises(WriteFailed) as error:
        prepare(corpus, tokenizer_for(corpus), on_progress=lambda n, total: done.append(n))
    assert "take about 4 MB" in error.value.what
    assert "3 MB are free" in error.value.what  # the one, and two that were written and taken back
    assert "HOMESPUN_CACHE" in error.value.todo
    assert done[-1] < 2**21
    assert entries() == []


def test_a_disk_that_fills_up_is_told_and_nothing_is_left(monkeypatch):
    def full(self: ShardWriter, ids: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ShardWriter, "append", full)
    corpus = FakeCorpus([TEXT])
    with pytest.raises(WriteFailed, match="too full"):
        prepare(corpus, tokenizer_for(corpus))
    assert entries() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_write_that_fails_only_when_the_file_is_closed_is_told_too(monkeypatch):
    monkeypatch.setattr(ShardWriter, "write_header", lambda self: 0)
    real_open = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *a, **k: real_open(Path("/dev/full") if self.suffix == ".npy" else self, *a, **k),
    )
    corpus = FakeCorpus([TEXT])
    with pytest.raises(WriteFailed, match="too full"):
        prepare(corpus, tokenizer_for(corpus))
    assert entries() == []


def test_a_cache_that_may_not_be_written_to_is_told(monkeypatch):
    cache_folder("datasets")

    def refused(**kwargs: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(shards.tempfile, "mkdtemp", refused)
    corpus = FakeCorpus([TEXT])
    with pytest.raises(WriteFailed, match="Permission denied"):
        prepare(corpus, tokenizer_for(corpus))


def test_a_disk_that_damages_what_it_is_given_is_told(monkeypatch):
    monkeypatch.setattr(preparation, "open_splits", lambda folder: None)
    corpus = FakeCorpus([TEXT])
    with pytest.raises(WriteFailed, match="three times"):
        prepare(corpus, tokenizer_for(corpus))


# Too little


@pytest.mark.parametrize(
    "texts", [[""], [], ["x"], ["zzzzzzzzzz" * 100], ["zz", "zz"], ["abcdefghij"], ["a", "b"]]
)
def test_a_text_that_cannot_be_trained_on_is_refused(texts):
    corpus = FakeCorpus(texts)
    with pytest.raises(NotEnoughText) as error:
        prepare(corpus, tokenizer_for(corpus))
    assert error.value.todo


def test_eleven_characters_are_just_enough():
    corpus = FakeCorpus(["hello world"])
    dataset = prepare(corpus, tokenizer_for(corpus))
    assert (dataset.train.tokens, dataset.val.tokens) == (9, 2)


@pytest.mark.parametrize("text", ["", "x"])
def test_a_text_with_nothing_to_predict_cannot_be_measured_on(text):
    with pytest.raises(NotEnoughText, match="too short to measure"):
        prepare_text(FakeCorpus([text]), FakeTokenizer("x"))


# Shards


def test_ids_that_come_in_portions_are_one_array(tmp_path):
    writer = ShardWriter(tmp_path / "a.npy", id_type(70_000))
    portions = [np.arange(n, dtype=np.uint32) * 1000 for n in (0, 1, 7, 66, 0, 3)]
    for portion in portions:
        writer.append(portion)
    assert writer.finish()["tokens"] == 77
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.concatenate(portions))


def test_a_large_file_is_checked_by_a_sample_that_has_both_ends(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(10_000))
    sums = {shards.checksum(path, blocks=4, block_bytes=100)}
    for place in (0, 9999):
        content = bytearray(10_000)
        content[place] = 1
        path.write_bytes(content)
        sums.add(shards.checksum(path, blocks=4, block_bytes=100))
    assert len(sums) == 3
