"""JSON and tables as programs write them: which records there are, and which field holds the text."""

# ruff: noqa: E501 (exports and texts stand as they are)
from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pytest

from homespun.errors import TextUnreadable
from homespun.text.sources import read
from tests.text.conftest import notes_of, only_text, texts

ROWS = [{"id": f"row-number-{i}", "Text": f"The hen {i} sat down in the grass."} for i in range(3)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
EXPECTED = [row["Text"] for row in ROWS]


def values(path: Path, **asked: str) -> list[str]:
    return list(texts(read(path, **asked)).values())


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a", "a.data", "a.json.gz", "a.jsonl.zst"])
def test_json_lines_are_lines_whatever_the_suffix(tmp_path: Path, name: str) -> None:
    content = b"\xef\xbb\xbf" + LINES.encode()
    if name.endswith(".gz"):
        content = gzip.compress(content)
    elif name.endswith(".zst"):
        sink = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(sink, "zstd") as packed:
            packed.write(content)
        content = sink.getvalue().to_pybytes()
    (tmp_path / name).write_bytes(content)
    assert values(tmp_path / name) == EXPECTED


COLUMNS = {name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ("id", "Text")}


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        COLUMNS,
        {str(i): row for i, row in enumerate(ROWS)},
        {"columns": ["id", "Text"], "index": [0, 1, 2], "data": [[row["id"], row["Text"]] for row in ROWS]},
        {"schema": {"fields": [{"name": "id"}]}, "data": ROWS},
        {"id": [row["id"] for row in ROWS], "Text": EXPECTED},
        {"version": 1, "data": ROWS},
        {"result": {"items": ROWS, "count": 3}},
        {"result": {str(i): row for i, row in enumerate(ROWS)}},
        {"train": ROWS[:2], "test": ROWS[2:]},
        {"features": [], "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)]},
        [[row["id"], row["Text"]] for row in ROWS],
        EXPECTED,
    ],
)
def test_the_shapes_of_pandas_and_others_are_records(tmp_path: Path, content: object) -> None:
    for indent in (None, 1):
        (tmp_path / "a.json").write_text(json.dumps(content, indent=indent))
        assert values(tmp_path / "a.json") == EXPECTED


def test_texts_by_their_names_are_texts_where_they_are_as_long_as_paragraphs(tmp_path: Path) -> None:
    chapters = {"one": "It rained all day. " * 5, "two": "Then came the sun. " * 5}
    (tmp_path / "a.json").write_text(json.dumps(chapters))
    assert values(tmp_path / "a.json") == list(chapters.values())


def test_a_list_in_a_jsonl_and_objects_over_several_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS, indent=1))
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps(row, indent=1) for row in ROWS))
    assert values(tmp_path / "a.jsonl") == values(tmp_path / "b.jsonl") == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        {"name": "tool", "description": "What it does.", "dependencies": {"left": "1.0"}, "files": ["a", "b"]},
        {"authors": [{"name": "Anna", "email": "a@x.org"}, {"name": "Ben", "email": "b@x.org"}]},
        {"a": {"b": {"c": 1}}},
    ],
)
def test_settings_are_no_texts_and_stand_as_they_are(tmp_path: Path, content: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert only_text(tmp_path / "a.json") == json.dumps(content)
    assert "is read as it stands, as JSON" in notes_of(tmp_path / "a.json")


def test_nan_and_null_are_nothing_and_numbers_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one"}\n{"text": NaN}\n{"text": null}\n{"text": 4}\n{"text": ["five", "six"]}\n'
    )
    assert values(tmp_path / "a.jsonl") == ["one", "4", "five\nsix"]
    assert "2 empty documents" in notes_of(tmp_path / "a.jsonl")


def test_utf8_that_was_written_as_latin1_is_mended_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"text": "caf\\u00c3\\u00a9"}\n{"text": "caf\\u00e9 \\u00c3\\u00a9"}\n{"text": "na\\u00efve"}\n'
    )
    assert values(tmp_path / "a.jsonl") == ["café", "café Ã©", "naïve"]
    assert "1 text whose UTF-8 was written as Latin-1" in notes_of(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"id": "a-very-long-identifier-0001", "content": "A hen."}, "A hen."),
        ({"url": "https://example.org/a/very/long/address", "Body": "A hen."}, "A hen."),
        ({"title": "The hen and the very long title", "selftext": "A hen."}, "A hen."),
        ({"review_text": "A hen.", "title": "A title that is longer"}, "A hen."),
        ({"clean_text": "A hen.", "author": "A name that is longer"}, "A hen."),
        ({"date": "2024-01-02T10:00:00.000000+00:00", "line_of_it": "A hen sat."}, "A hen sat."),
        ({"Question": "Who?", "Answer": "A hen.", "id": "1"}, "Who?\nA hen."),
        ({"instruction": "Say it.", "input": "", "output": "A hen."}, "Say it.\nA hen."),
        ({"prompt": "Who?", "text": "A hen."}, "Who?\nA hen."),
        ({"text": "", "content": "A hen."}, "A hen."),
        ({"document": {"text": "A hen.", "id": 1}}, "A hen."),
    ],
)
def test_the_field_is_found_by_its_name_and_never_an_id_a_date_or_a_link(
    tmp_path: Path, record: dict, text: str
) -> None:
    (tmp_path / "a.jsonl").write_text((json.dumps(record) + "\n") * 2)
    assert set(values(tmp_path / "a.jsonl")) == {text}


def test_a_long_field_that_is_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "A hen sat.", "translation": "Ein Huhn saß da.", "id": 1}\n' * 2)
    assert "the text is taken from the field 'text'; not read: 'translation'" in notes_of(tmp_path / "a.jsonl")


def test_a_field_may_be_named_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"Raw Text": "one", "text": "two"}\n')
    assert only_text(tmp_path / "a.jsonl", field="raw_text") == "one"


# --- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("sep.csv", 'sep=;\nid;text\n1;One, two\n2;"He; ""no"""\n', ["One, two", 'He; "no"']),
        ("decimal.csv", "1,5;One two, three\n2,25;Four five.\n3,0;Six, seven\n", ["One two, three", "Four five.", "Six, seven"]),
        ("bar.csv", "id|text|n\n1|A, b|2\n2|C; d|3\n", ["A, b", "C; d"]),
        ("index.csv", ',Text,label\n0,A hen sat.,1\n1,"A dog, ran.",0\n', ["A hen sat.", "A dog, ran."]),
        ("verses.csv", "Up the hill, down the hill.\nOver land, over sea.\nOn, and on.\n", ["Up the hill, down the hill.", "Over land, over sea.", "On, and on."]),
        ("ragged.csv", "The hen, the cow and the dog\nOne day\nIt rained, and rained, and rained\n", ["The hen, the cow and the dog", "One day", "It rained, and rained, and rained"]),
        ("lines.csv", "text\nHello, world\nNo more\n", ["Hello, world", "No more"]),
        ("loose.csv", "text,label\nHello, my friend,1\nFine,0\nWell, ok,1\n", ["Hello, my friend", "Fine", "Well, ok"]),
        ("spaces.csv", 'title, text\n"A", "One, two."\n"B", "Three."\n', ["One, two.", "Three."]),
        ("bare.tsv", 'ham\tGo on, go\nspam\tA "wkly comp\nham\tOk\n', ["Go on, go", 'A "wkly comp', "Ok"]),
        ("quoted.tsv", 'id\ttext\n1\t"two\nlines"\n2\tplain\n', ["two\nlines", "plain"]),
        ("inner.csv", 'id,text\n1,"He said ""hi"", and left"\n2,"She said "yes" and left"\n', ['He said "hi", and left', 'She said "yes" and left']),
        ("wrapped.tsv", '\ttext\n0\t"She said ""yes"""\n1\tno\n', ['She said "yes"', "no"]),
        ("numbers.csv", '"0","1467","Mon Apr 06","u1","is upset, and cries"\n"4","1468","Tue Apr 07","u2","is glad"\n', ["is upset, and cries", "is glad"]),
    ],
)  # fmt: skip
def test_tables_are_read_by_how_they_are_written(
    tmp_path: Path, name: str, content: str, expected: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert values(tmp_path / name) == expected


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("ends", ["", '"'])
def test_a_quotation_mark_that_never_closes_swallows_nothing(tmp_path: Path, separator: str, ends: str) -> None:
    rows = [f"{i}{separator}eng{separator}Sentence number {i} here." for i in range(60)]
    rows[5] = f'5{separator}eng{separator}"Sentence number 5 here.'
    rows[40] = f"40{separator}eng{separator}Sentence number 40 here.{ends}" if ends else rows[40]
    suffix = "tsv" if separator == "\t" else "csv"
    path = tmp_path / f"a.{suffix}"
    path.write_text(separator.join(("id", "lang", "text")) + "\n" + "\n".join(rows) + "\n")
    found = values(path)
    assert len(found) == 60 and found[5] == '"Sentence number 5 here.'
    if separator != "\t":
        assert "never close" in notes_of(path) and "the first in line 7" in notes_of(path)


def test_a_first_line_without_names_is_a_row_and_columns_have_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,A hen sat.,x\n2,A dog ran.,y\n")
    assert values(tmp_path / "a.csv") == ["A hen sat.", "A dog ran."]
    assert "its first line names no columns; the text is taken from column 2" in notes_of(tmp_path / "a.csv")
    assert values(tmp_path / "a.csv", field="3") == ["x", "y"]


def test_parquet_columns_of_dictionaries_lists_and_objects_are_texts(tmp_path: Path) -> None:
    import pyarrow.parquet

    columns = {
        "category": pyarrow.array(["one", "two"]).dictionary_encode(),
        "lines": pyarrow.array([["one"], ["two"]]),
        "inner": pyarrow.array([{"text": "one", "n": 1}, {"text": "two", "n": 2}]),
        "raw": pyarrow.array([b"one", b"two"]),
    }
    for name, column in columns.items():
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "content": column}), path)
        assert values(path) == ["one", "two"], name
    talks = pyarrow.table({"messages": [[{"role": "user", "content": "hi"}]]})
    pyarrow.parquet.write_table(talks, tmp_path / "talks.parquet")
    with pytest.raises(TextUnreadable, match="homespun finetune MODEL FILE learns"):
        read(tmp_path / "talks.parquet").survey()


@pytest.mark.parametrize("form", ["stream", "file"])
def test_arrow_tables_are_read_and_a_broken_one_is_told(tmp_path: Path, form: str) -> None:
    table = pyarrow.table({"text": [f"text {i}" for i in range(200)]})
    writer = pyarrow.ipc.new_stream if form == "stream" else pyarrow.ipc.new_file
    with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, writer(sink, table.schema) as out:
        out.write_table(table)
    assert values(tmp_path / "a.arrow") == [f"text {i}" for i in range(200)]
    (tmp_path / "b.arrow").write_bytes((tmp_path / "a.arrow").read_bytes()[:300])
    with pytest.raises(TextUnreadable):
        read(tmp_path / "b.arrow").survey()
