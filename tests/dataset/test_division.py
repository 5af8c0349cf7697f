"""A text prepared by several processes is the same, to the bit, as by one; what is there is not made again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from homespun.dataset import division
from homespun.dataset.division import prepare_part
from homespun.dataset.preparation import prepare
from homespun.dataset.sharded import Remote, ShardedIds, is_prepared, open_sharded
from homespun.errors import TextUnreadable, UsageError
from homespun.text.corpus import Corpus
from homespun.text.sources import read
from homespun.text.survey import add_up, survey, survey_part
from homespun.tokenizer.byte import ByteTokenizer
from homespun.tokenizer.open import load
from homespun.tokenizer.tokenizer import Tokenizer

UNIT = 5000  # characters


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Forty documents of all lengths, one much longer than a unit, two alike, one with other line ends."""
    folder = tmp_path / "texts"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(40):
        words = random.integers(0, 1000, int(random.integers(5, 400)) if number != 7 else 6000)
        text = " ".join(f"w{word}é" for word in words)
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    (folder / "40.txt").write_bytes((folder / "03.txt").read_bytes())
    (folder / "41.txt").write_bytes(b"one\r\ntwo\r\n" * 10)
    return folder


def part_done(texts: Path, out: Path, part: int, parts: int) -> bool:
    def opened() -> Tokenizer | None:
        return load(out) if (out / "tokenizer_config.json").exists() else None

    def made(survey: object) -> Tokenizer:
        tokenizer = ByteTokenizer()
        tokenizer.save(out)
        return tokenizer

    corpus: Corpus = read(str(texts))
    return prepare_part(corpus, out, part, parts, make_tokenizer=made, open_tokenizer=opened, unit=UNIT)


def together(texts: Path, out: Path, parts: int) -> list[bool]:
    """All parts at once, as processes do them."""
    found: dict[int, bool] = {}
    threads = [
        threading.Thread(target=lambda part=part: found.update({part: part_done(texts, out, part, parts)}))
        for part in range(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [found[part] for part in range(parts)]


def files_of(out: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in out.iterdir() if path.suffix == ".npy" or path.name == "meta.json"
    }


def test_the_shards_are_the_same_whatever_divides_the_work(texts: Path, tmp_path: Path) -> None:
    assert together(texts, tmp_path / "one", 1) == [True]
    one = files_of(tmp_path / "one")
    assert len(one) > 10
    for parts in (2, 3):
        assert any(together(texts, tmp_path / str(parts), parts))
        assert files_of(tmp_path / str(parts)) == one


def test_they_hold_what_one_file_would(texts: Path, tmp_path: Path) -> None:
    together(texts, tmp_path / "out", 2)
    dataset, meta = open_sharded(str(tmp_path / "out"))
    whole = prepare(read(str(texts)), ByteTokenizer())
    for name in ("train", "val"):
        found, expected = getattr(dataset, name), getattr(whole, name)
        assert (found.tokens, found.characters, found.bytes, found.documents) == (
            *(expected.tokens, expected.characters, expected.bytes, expected.documents),
        )
        assert np.array_equal(found.ids[:], expected.ids)
    assert dataset.how == whole.how and meta["text_key"] == read(str(texts)).survey().key


def test_the_survey_of_parts_is_the_survey(texts: Path) -> None:
    expected, notes = survey(read(str(texts)))
    for parts in (1, 3, 50):  # more parts than documents, too
        found = [json.loads(json.dumps(survey_part(read(str(texts)), part, parts))) for part in range(parts)]
        whole, said, documents = add_up(found)
        assert whole == expected and documents == [1] * 42
        assert sorted(said) == sorted(notes) and any("Windows line ends" in line for line in said)


def test_what_is_done_is_not_done_again(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    together(texts, out, 1)
    complete = files_of(out)
    (out / "meta.json").unlink()
    (out / "unit-00003.json").unlink()
    shard = next(path for path in sorted(out.glob("train-*.npy")) if path.name != "train-00003.npy")
    shard.write_bytes(shard.read_bytes()[:-2])  # half written when the disk was full
    made: list[int] = []
    write = division.write_unit
    monkeypatch.setattr(
        division, "write_unit", lambda out, number, *others: (made.append(number), write(out, number, *others))
    )
    assert part_done(texts, out, 0, 1)
    assert made == sorted({3, int(shard.stem.split("-")[1])})
    assert files_of(out) == complete


def test_a_folder_of_another_text_is_left_alone(texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    together(texts, out, 1)
    (texts / "42.txt").write_text("A new one.")
    with pytest.raises(UsageError, match="preparation of another text"):
        part_done(texts, out, 0, 1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        part_done(texts, tmp_path / "full", 0, 1)


def test_a_text_that_changes_meanwhile_is_noticed(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = division.plan_splits

    def changing(*facts):  # type: ignore[no-untyped-def]
        path = texts / "07.txt"
        path.write_bytes(path.read_bytes().replace(b"w1", b"x1"))
        return plan(*facts)

    monkeypatch.setattr(division, "plan_splits", changing)
    with pytest.raises(TextUnreadable, match="changed while it was read"):
        part_done(texts, tmp_path / "out", 0, 1)


# Opened again, and from elsewhere


def numbered(lengths: list[int], tmp_path: Path) -> ShardedIds:
    """Ids that count on from shard to shard."""
    from homespun.dataset.sharded import Folder, Shard

    shards, first = [], 0
    for number, length in enumerate(lengths):
        path = tmp_path / f"train-{number:05}.npy"
        np.save(path, np.arange(first, first + length, dtype="<u2"))
        shards.append(Shard(path.name, length, path.stat().st_size, ""))
        first += length
    return ShardedIds(Folder(tmp_path), shards, np.dtype("<u2"))


def test_shards_are_read_as_one_array(tmp_path: Path) -> None:
    ids = numbered([5, 1, 9], tmp_path)
    assert len(ids) == 15 and ids.nbytes == 30
    assert ids[3:12].tolist() == list(range(3, 12)) and ids[-3:].tolist() == [12, 13, 14]
    assert ids[np.array([[0, 5], [14, 4]])].tolist() == [[0, 5], [14, 4]]
    assert int(ids[5]) == 5 and ids[20:].tolist() == []


def test_what_is_not_a_dataset_is_a_text(texts: Path, tmp_path: Path) -> None:
    together(texts, tmp_path / "out", 1)
    assert is_prepared(str(tmp_path / "out")) and is_prepared("s3://bucket/owt")
    assert not any(map(is_prepared, (str(texts), "https://example.org/book.txt", "shakespeare", "-", "\0")))


def test_shards_come_from_elsewhere_into_a_cache_of_limited_size(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    together(texts, tmp_path / "out", 1)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "out"), "/bucket/division", recursive=True)
    dataset, _ = open_sharded("memory://bucket/division")
    here, _ = open_sharded(str(tmp_path / "out"))
    assert np.array_equal(dataset.train.ids[:], here.train.ids[:])
    cached = list((tmp_path / "cache" / "shards").glob("*.npy"))
    assert len(cached) == len(dataset.train.ids.shards)  # type: ignore[attr-defined]

    place = Remote("memory://bucket/division", limit=20_000)
    for shard in dataset.val.ids.shards + dataset.train.ids.shards:  # type: ignore[attr-defined]
        place.path_of(shard)
    assert sum(path.stat().st_size for path in (tmp_path / "cache" / "shards").glob("*.npy")) <= 20_000


def test_a_shard_that_came_damaged_is_refused_and_not_kept(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    together(texts, tmp_path / "out", 1)
    path = tmp_path / "out" / "train-00000.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    fsspec.filesystem("memory").put(str(tmp_path / "out"), "/bucket/damaged", recursive=True)
    dataset, _ = open_sharded("memory://bucket/damaged")
    with pytest.raises(TextUnreadable, match="damaged"):
        dataset.train.ids[:10]
    assert not list((tmp_path / "cache" / "shards").glob("*.npy"))
