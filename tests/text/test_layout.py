"""Folders that are something together: data sets as they are cloned, cached and saved; and .gitignore."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from homespun.errors import NotEnoughText
from homespun.text.sources import read
from tests.text.conftest import notes_of, texts
from tests.text.test_folder import make

LINES = '{"text": "one"}\n{"text": "two"}\n'
CARD = "---\nlicense: mit\n---\n# Tales\n"


def values(path: Path) -> list[str]:
    return list(texts(read(path)).values())


def test_a_cloned_data_set_is_its_tables_and_not_its_card(tmp_path: Path) -> None:
    root = make(
        tmp_path / "tales",
        {".git/HEAD": "ref", ".gitattributes": "x", "README.md": CARD, "data/train.jsonl": LINES},
    )
    pyarrow.parquet.write_table(pyarrow.table({"text": ["three"]}), root / "data" / "more.parquet")
    assert values(root) == ["three", "one", "two"]
    assert "1 card of a data set left out" in notes_of(root)
    (root / "README.md").write_text("---\ntitle: A day\n---\nIt rained.\n")
    assert len(values(root)) == 4


def hub_cache(tmp_path: Path) -> Path:
    root = make(
        tmp_path / "datasets--someone--tales",
        {"refs/main": "b" * 40, "blobs/1": LINES, "blobs/2": CARD, "blobs/3": '{"text": "old"}\n'},
    )
    for revision, blob in (("a" * 40, "3"), ("b" * 40, "1")):
        snapshot = root / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (snapshot / "train.jsonl").symlink_to(f"../../blobs/{blob}")
        (snapshot / "README.md").symlink_to("../../blobs/2")
    return root


def test_the_hubs_cache_is_read_through_its_links_and_once(tmp_path: Path) -> None:
    root = hub_cache(tmp_path)
    assert values(root) == values(root / "snapshots" / ("b" * 40)) == values(tmp_path) == ["one", "two"]
    assert values(root / "snapshots" / ("a" * 40)) == ["old"]


def test_links_that_lead_out_are_not_followed_and_those_inside_are_read_once(tmp_path: Path) -> None:
    root = make(tmp_path / "notes", {"a.txt": "one", ".kept/b.txt": "two"})
    (tmp_path / "secret.txt").write_text("secret")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "again.txt").symlink_to("a.txt")
    (root / "b.txt").symlink_to(".kept/b.txt")
    (root / "c.txt").symlink_to("b.txt")
    (root / "dead.txt").symlink_to("nowhere")
    assert values(root) == ["one", "two"]
    assert "4 symbolic links not followed" in notes_of(root)


def test_a_folder_as_saved_by_datasets_is_its_tables(tmp_path: Path) -> None:
    root = make(
        tmp_path / "saved", {"train/state.json": "{}", "train/dataset_info.json": "{}", "dataset_dict.json": "{}"}
    )
    table = pyarrow.table({"text": ["one", "two"]})
    place = str(root / "train" / "data-00000-of-00001.arrow")
    with pyarrow.OSFile(place, "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    (root / "train" / "cache-0123.arrow").write_bytes((root / "train" / "data-00000-of-00001.arrow").read_bytes())
    assert values(root) == values(root / "train") == ["one", "two"]
    assert "4 files about the data left out" in notes_of(root)


@pytest.mark.parametrize("rules", ["data/*\n", "data/**\n", "*.txt\n", "data/*\n!data/README.md\n"])
def test_gitignore_does_not_empty_the_folder_that_was_named(tmp_path: Path, rules: str) -> None:
    root = make(
        tmp_path / "repo", {".git/HEAD": "ref", ".gitignore": rules, "data/a.txt": "one", "data/b.txt": "two"}
    )
    assert values(root / "data") == ["one", "two"]


def test_a_folder_that_ignores_all_of_itself_is_read_and_that_is_said(tmp_path: Path) -> None:
    root = make(tmp_path / "data", {".gitignore": "*\n", "a.txt": "one"})
    assert values(root) == ["one"]
    assert ".gitignore names everything in it; it is read all the same" in notes_of(root)


@pytest.mark.parametrize("suffix", ["dat", "bin", "doc", "lib", "img", "db", "o", "a"])
def test_a_text_in_a_folder_is_read_as_it_is_alone(tmp_path: Path, suffix: str) -> None:
    root = make(
        tmp_path / "texts",
        {
            f"a.{suffix}": "Once upon a time.\n",
            f"b.{suffix}": b"\0\1\2",
            f"c.{suffix}": "Há uma hen.\n".encode("latin-1"),
        },
    )
    assert values(root) == ["Once upon a time.\n", "Há uma hen.\n"]
    assert "1 binary file skipped" in notes_of(root)


def test_a_folder_of_conversations_says_what_to_do_with_them(tmp_path: Path) -> None:
    talk = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
    root = make(tmp_path / "talks", {"a.jsonl": talk + "\n" + talk})
    with pytest.raises(NotEnoughText, match="homespun finetune MODEL FILE learns from those"):
        read(root).survey()
