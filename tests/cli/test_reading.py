"""What is noticed in reading a text is said by every command that reads one, and by one mechanism."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homespun.checkpoint.folder import save_model
from homespun.cli.screens.plan import counted_rows
from tests.checkpoint.models import char_tokenizer, lively, tiny
from tests.cli.conftest import Run
from tests.dataset.test_doctor import BOOK

COLUMN = "the text is taken from the column 'said'"
EMPTY = "2 empty documents left out"
SHAPE = ["--set", "n_layer=1", "--set", "n_embd=32", "--set", "context_length=16", "--set", "batch_size=8"]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A healthy text, of which a column had to be guessed and two rows have nothing in it."""
    monkeypatch.chdir(tmp_path)
    rows = [f'{number},"{line}"' for number, line in enumerate(BOOK.splitlines()) if line]
    Path("table.csv").write_text("\n".join(["id,said", *rows, "7", "8,", ""]), encoding="utf-8")
    return "table.csv"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_doctor_says_it_before_what_it_found_itself(run: Run, table: str) -> None:
    said = flat(run("data", "doctor", table).out)
    assert COLUMN in said and EMPTY in said
    assert "Nothing found" not in said and "Nothing else found" in said
    assert said.index(EMPTY) < said.index("Nothing else found")
    notes = run("data", "doctor", table, "--json").json["notes"]
    assert any(COLUMN in note for note in notes) and any(EMPTY in note for note in notes)


def test_the_doctor_finds_nothing_only_where_nothing_was_noticed(run: Run, tmp_path: Path) -> None:
    for name, content, nothing in (
        ("a.txt", BOOK.encode(), True),
        ("b.txt", BOOK.replace("e", "\u00e9", 400).encode("latin-1"), False),
        ("c.txt", BOOK.replace("\n", "\r\n").encode(), False),
    ):
        (tmp_path / name).write_bytes(content)
        assert ("Nothing found" in run("data", "doctor", str(tmp_path / name)).out) == nothing, name
    assert run("data", "doctor", str(tmp_path / "a.txt"), "--json").json["notes"] == []


def test_the_doctor_tells_of_skipped_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(BOOK, encoding="utf-8")
    (tmp_path / "texts" / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 picture")
    said = flat(run("data", "doctor", str(tmp_path / "texts")).out)
    assert "1 binary file skipped" in said and "Nothing found" not in said


def test_many_notes_are_cut_short_on_the_screen_and_whole_as_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(20):
        (tmp_path / "texts" / f"{number}.txt").write_bytes(
            f"{BOOK[number * 500 :][:500]!r}".encode() + "café naïve über ähnlich öfter".encode() + b"\xff"
        )
    assert "and 8 more" in flat(run("data", "doctor", str(tmp_path / "texts")).out)
    assert len(run("data", "doctor", str(tmp_path / "texts"), "--json").json["notes"]) >= 20


def test_show_says_it(run: Run, table: str) -> None:
    said = flat(run("data", "show", table).out)
    assert COLUMN in said and EMPTY in said


def test_a_plan_says_it_and_finds_nothing_only_where_nothing_was_noticed(run: Run, table: str) -> None:
    Path("book.txt").write_text(BOOK, encoding="utf-8")
    shown = run("plan", table, "--steps", "500", *SHAPE)
    said = flat(shown.out)
    assert COLUMN in said and EMPTY in said
    assert "nothing wrong with it" not in said
    assert COLUMN in flat(shown.err) and EMPTY in flat(shown.err)
    told = run("plan", table, "--steps", "500", *SHAPE, "--json").json
    assert any(COLUMN in note for note in told["notes"])
    assert "nothing wrong with it" in flat(run("plan", "book.txt", "--steps", "500", *SHAPE).out)
    assert run("plan", "book.txt", "--steps", "500", *SHAPE, "--json").json["notes"] == []


def test_train_and_evaluate_and_finetune_say_it(run: Run, table: str) -> None:
    trained = run("train", table, "--steps", "2", *SHAPE, "--out", "run", "--json")
    assert COLUMN in flat(trained.err) and EMPTY in flat(trained.err)
    measured = run("evaluate", "run", table)
    assert COLUMN in flat(measured.out) and EMPTY in flat(measured.out)
    notes = run("evaluate", "run", table, "--json").json["notes"]
    assert any(COLUMN in note for note in notes) and any(EMPTY in note for note in notes)
    tuned = run("finetune", "run", table, "--steps", "1", "--set", "context_length=16", "--out", "tuned", "--json")
    assert COLUMN in flat(tuned.err) and EMPTY in flat(tuned.err)


def test_the_same_lines_are_said_everywhere(run: Run, table: str) -> None:
    everywhere = [run("data", command, table, "--json").json["notes"] for command in ("show", "doctor")]
    everywhere.append(run("plan", table, "--steps", "9", *SHAPE, "--json").json["notes"])
    assert everywhere[0] == everywhere[1] == everywhere[2] != []


def test_without_a_text_it_is_said_which_it_is(run: Run, shakespeare_path: Path) -> None:
    assert "no text was given" in flat(run("data", "doctor").out)


def test_from_python_it_is_said_too(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import homespun

    model = homespun.train(table, steps=1, out=tmp_path / "run", settings=[*SHAPE[1::2]])
    capsys.readouterr()
    model.evaluate(table)
    assert COLUMN in flat(capsys.readouterr().err)


# ---- advice that is the case already, and rows that are named twice ----


def test_characters_are_not_advised_where_there_are_characters(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("abcd")
    for kind, advised in (("char", False), ("byte", False), ("auto", False)):
        outcome = run("train", str(path), "--steps", "1", "--tokenizer", kind, "--out", str(tmp_path / kind))
        assert outcome.code == 1 and "too short" in outcome.err
        assert ("--tokenizer char" in outcome.err) == advised, kind
    shown = run("data", "show", str(path)).out
    assert "too short" in shown and "--tokenizer char" not in shown


def test_an_extension_that_is_given_twice_is_not_asked_for(run: Run, tmp_path: Path) -> None:
    outcome = run("train", "--extend", "--out", str(tmp_path), "--minutes", "1", "--steps", "5")
    assert outcome.code == 2 and "Give one of them" in outcome.err and "Add --minutes" not in outcome.err


def test_who_named_a_text_is_not_told_to_name_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("hello " * 50)
    save_model(tmp_path / "model", lively(tiny("modern")), char_tokenizer())  # nobody knows what it was trained on
    outcome = run("evaluate", str(tmp_path / "model"), str(tmp_path / "book.txt"), "--memorisation")
    assert outcome.code == 1 and "leave it out" in flat(outcome.err) and "Name a text" not in outcome.err


@pytest.mark.parametrize(
    ("losses", "last"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], "what follows each two"),
        ([1.5, 1.0, 1.2, 1.3, 1.4, 1.5], "what follows each two"),
        ([1.5, 1.4, 1.0, 1.3, 1.4, 1.5], "what follows each two"),
        ([1.5, 1.4, 1.3, 1.0, 1.4, 1.5], "what follows each three"),
        ([1.5, 1.4, 1.3, 1.2, 1.1, 1.0], "what follows each five"),
        ([1.5], "how often each token occurs"),
    ],
)
def test_each_row_of_counting_stands_there_once_and_by_its_name(losses: list[float], last: str) -> None:
    rows = counted_rows(losses)
    names = [name for name, _ in rows]
    assert len(names) == len(set(names)) and names[-1] == last
    assert not any("none" in name for name in names)
    assert all(losses[["how often each token occurs", "what follows each token", "what follows each two",
                       "what follows each three", "what follows each four", "what follows each five"].index(name)]
               == loss for name, loss in rows)  # fmt: skip


def test_a_plan_of_a_small_alphabet_names_its_rows_once(run: Run, tmp_path: Path) -> None:
    import random

    dice = random.Random(1)
    (tmp_path / "dna.txt").write_text("".join(dice.choices("ACGT", k=40_000)))
    said = run("plan", str(tmp_path / "dna.txt"), "--steps", "10", *SHAPE).out
    assert said.count("what follows each two") == 1 and "each none" not in said


# ---- how it was read ----


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_data_show_says_as_what_from_where_and_how_two_documents_begin(run: Run, here: None) -> None:
    Path("a.jsonl").write_text(
        "".join(f'{{"id": {i}, "Content": "Hen number {i} sat down."}}\n' for i in range(40))
    )
    said = flat(run("data", "show", "a.jsonl").out)
    for words in ("read as JSON records, the field 'Content'", "documents 40", "Hen number 0", "Hen number 1"):
        assert words in said
    shown = run("data", "show", "a.jsonl", "--json").json
    assert shown["read_as"] == {"JSON records, the field 'Content'": 40} and shown["conversations"] is None
    assert shown["beginnings"][1] == ["a.jsonl:2", "Hen number 1 sat down."]


def test_data_show_shows_conversations(run: Run, here: None) -> None:
    talk = [{"role": "user", "content": "Who sat down?"}, {"role": "assistant", "content": "The hen."}]
    Path("talks.json").write_text("".join(json.dumps({"messages": talk}) + "\n" for _ in range(3)))
    said = flat(run("data", "show", "talks.json").out)
    for words in ("3 conversations", "talks.json:1", "user: Who sat down?", "assistant: The hen."):
        assert words in said
    assert run("data", "show", "talks.json", "--json").json["conversations"]["count"] == 3


def test_data_show_of_a_chat_counts_what_is_left_out(run: Run, here: None) -> None:
    lines = [f"[02.01.24, 10:{i:02}:00] {'Anna' if i % 2 else 'Ben'}: Hen number {i}." for i in range(30)]
    Path("chat.txt").write_text(
        "\n".join([*lines, "[02.01.24, 11:00:00] Anna: \u200eimage omitted"]), encoding="utf-8"
    )
    said = flat(run("data", "show", "chat.txt").out)
    assert "read as a WhatsApp chat" in said and "1 message without text" in said and "Ben: Hen number 0." in said


@pytest.mark.parametrize("command", [("data", "show"), ("data", "doctor"), ("plan",), ("train",)])
def test_an_encoding_is_named_wherever_a_text_is_read(run: Run, here: None, command: tuple[str, ...]) -> None:
    Path("old.txt").write_bytes(("Tűz mellett ült a nő, aki főzött.\n" * 60).encode("cp1250"))
    training = ["--steps", "1", *SHAPE] if command in (("plan",), ("train",)) else []
    out = ["--out", "run"] if command == ("train",) else []
    guessed, named = (run(*command, "old.txt", *training, *out, *more) for more in ([], ["--encoding", "cp1250"]))
    assert "which is a guess" in flat(guessed.out + guessed.err)
    if command != ("train",):  # that run is there
        assert named.code == 0 and "Windows-1250" in flat(named.out + named.err)
        assert "which is a guess" not in flat(named.out + named.err)
    refused = run(*command, "old.txt", *training, *(["--out", "other"] if out else []), "--encoding", "nonsense")
    assert refused.code == 2 and "There is no encoding called 'nonsense'" in flat(refused.err)
