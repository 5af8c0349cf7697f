"""The verbs as a program calls them, from a text to a talking model."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

import homespun
from homespun.errors import CheckpointError, NotEnoughText, UnknownCharacter, UsageError
from homespun.training.watcher import Watcher

TEXT = "".join(f"{n} green bottles standing on the wall.\n" for n in range(400))
SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16, "batch_size": 4, "compile": False}


class Notes(Watcher):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_text_becomes_a_model_that_writes(book: Path) -> None:
    run = homespun.train(book, steps=30, settings=SMALL, watcher=Watcher())
    assert run.folder == Path("runs/book")
    text = run.generate("1 green", max_tokens=20, seed=1)
    assert text.startswith("1 green") and len(text) == len("1 green") + 20
    again = homespun.load("runs/book")
    assert again.generate("1 green", max_tokens=20, temperature=0.7, top_k=5, seed=3) == run.generate(
        "1 green", max_tokens=20, temperature=0.7, top_k=5, seed=3
    )
    assert "".join(again.stream("1", max_tokens=9, seed=2)) == again.generate("1", max_tokens=9, seed=2)[1:]


def test_what_evaluate_finds_is_what_training_said(book: Path) -> None:
    run = homespun.train(book, steps=10, settings={**SMALL, "dtype": "float32"}, watcher=Watcher())
    found = homespun.load(run.folder).evaluate()
    assert found.loss == pytest.approx(run.result.val_loss, abs=0.01)  # bfloat16 here, float32 there
    assert homespun.load(run.folder).evaluate(book).tokens == len(TEXT) - 1


def test_runs_of_one_text_get_folders_of_their_own(book: Path) -> None:
    names = [homespun.train(book, steps=1, settings=SMALL, watcher=Watcher()).folder.name for _ in range(3)]
    assert names == ["book", "book-2", "book-3"]


def test_what_the_next_run_wants_compiled_is_begun_when_this_one_has_ended_in_order(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr("homespun.planning.planner.plan_for_next_time", lambda wishes, facts, plan: plan)
    monkeypatch.setattr(
        "homespun.training.compiled.compile_for_next_time", lambda plan, vocab_size, purpose: begun.append(plan)
    )
    notes = Notes()
    run = homespun.train(book, steps=2, settings=SMALL, watcher=notes)
    assert len(begun) == 1 and any("for the next one" in line for line in notes.notes)

    class Impatient(Watcher):
        def stepped(self, progress: object) -> None:
            signal.raise_signal(signal.SIGINT)

    interrupted = homespun.train(book, steps=50, settings=SMALL, watcher=Impatient())
    assert interrupted.result.interrupted and not run.result.interrupted and len(begun) == 1


def test_a_plan_replays_the_run_to_the_bit(book: Path) -> None:
    first = homespun.train(book, steps=12, settings=SMALL, out="first", watcher=Watcher())
    again = homespun.train(plan=first.folder / "plan.toml", out="again", watcher=Watcher())
    assert Path("first/model.safetensors").read_bytes() == Path("again/model.safetensors").read_bytes()
    assert Path("first/plan.toml").read_text() == Path("again/plan.toml").read_text()
    losses = [
        [json.loads(line)["val_loss"] for line in Path(out, "metrics.jsonl").read_text().splitlines()]
        for out in ("first", "again")
    ]
    assert losses[0] == losses[1] and first.result.val_loss == again.result.val_loss


def test_a_run_by_time_replays_to_the_bit_as_a_run_by_steps(book: Path) -> None:
    first = homespun.train(book, minutes=0.07, settings=SMALL, out="first", watcher=Watcher())
    assert first.plan().steps == first.result.steps > 0
    homespun.train(plan="first/plan.toml", out="again", watcher=Watcher())
    assert Path("first/model.safetensors").read_bytes() == Path("again/model.safetensors").read_bytes()


def test_a_plan_on_a_text_that_has_changed_says_so(book: Path, own_cache: Path) -> None:
    homespun.train(book, steps=1, settings=SMALL, out="first", watcher=Watcher())
    book.write_text(TEXT + "and one more\n")
    notes = Notes()
    homespun.train(plan="first/plan.toml", out="again", watcher=notes)
    assert any("not the text that the plan was made for" in line for line in notes.notes)
    assert homespun.load("first").evaluate().tokens > 0  # the ids of then are in the cache
    shutil.rmtree(own_cache)
    with pytest.raises(CheckpointError, match="has changed since"):
        homespun.load("first").evaluate()


def test_a_plan_and_other_wishes_contradict_each_other(book: Path) -> None:
    homespun.train(book, steps=1, settings=SMALL, out="first", watcher=Watcher())
    with pytest.raises(UsageError, match="A plan says everything"):
        homespun.train(plan="first/plan.toml", steps=5, watcher=Watcher())


def test_a_text_shorter_than_the_context_is_trained_on_with_a_shorter_one(book: Path) -> None:
    book.write_text("To be, or not to be.")
    notes = Notes()
    run = homespun.train(book, steps=2, settings={**SMALL, "context_length": 64}, watcher=notes)
    assert run.plan().context_length == 17
    assert "the text is too short for a context of 64 tokens: 17 it is" in notes.notes


@pytest.mark.parametrize("content", ["", "x", "aaaaaaaaaaaaaaaa", "ab"])
def test_a_text_that_teaches_nothing_is_refused_before_anything_is_made(book: Path, content: str) -> None:
    book.write_text(content)
    with pytest.raises(NotEnoughText):
        homespun.train(book, steps=2, settings=SMALL, watcher=Watcher())
    assert not Path("runs").exists()


def test_a_prompt_with_a_character_that_the_model_never_met_names_it(book: Path) -> None:
    run = homespun.train(book, steps=1, settings=SMALL, watcher=Watcher())
    with pytest.raises(UnknownCharacter, match=r"U\+00E9"):
        run.generate("café")


def test_standard_input_can_be_trained_on(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with book.open("rb") as stdin:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": stdin, "isatty": lambda self: False})())
        run = homespun.train("-", steps=1, settings=SMALL, watcher=Watcher())
    assert run.plan().text == ("-",)


def test_python_needs_no_network_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from homespun.text.sources import read

    corpus = read("python")
    assert next(corpus.documents()).read()
