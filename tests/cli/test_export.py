"""homespun export, as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

import homespun
from homespun.checkpoint.folder import save_model
from tests.checkpoint.models import char_tokenizer, lively, tiny
from tests.cli.conftest import Run

pytest.importorskip("gguf")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "runs" / "book", lively(tiny("modern")), char_tokenizer())
    return Path("runs/book")


def test_a_file_its_numbers_and_how_to_use_it(model: Path, run: Run) -> None:
    done = run("export", str(model), "--to", "gguf", "--quantize", "f32", "--no-llama-cpp")
    assert done.code == 0, done.err
    assert "exports/book-f32.gguf" in done.out
    assert "the same ids for all of" in done.out
    assert "(100.0%)" in done.out
    assert "(+0.0000)" in done.out
    assert "ollama create book-f32 -f exports/book-f32.Modelfile" in done.out
    opened = homespun.load("exports/book-f32.gguf")
    first = homespun.load(model)
    assert opened.generate("a", max_tokens=20, temperature=0) == first.generate("a", max_tokens=20, temperature=0)


def test_the_same_for_programs(model: Path, run: Run) -> None:
    done = run("export", str(model), "--to", "gguf", "--quantize", "q8_0", "--json", "--no-llama-cpp")
    assert done.json["out"] == "exports/book-q8_0.gguf"
    assert done.json["precision"] == "q8_0"
    assert done.json["files"] == ["exports/book-q8_0.gguf", "exports/book-q8_0.Modelfile"]
    assert done.json["loss"] != done.json["loss_before"]
    assert done.json["bits_per_byte"] > 0
    (check,) = done.json["checks"]
    assert check["by"] == "homespun"
    assert check["positions"] > 100


def test_a_folder(model: Path, run: Run) -> None:
    done = run("export", str(model), "--to", "merged", "--out", "plain", "--dtype", "bfloat16")
    assert done.code == 0, done.err
    assert "homespun generate plain" in done.out
    assert homespun.load("plain").generate("a", max_tokens=3, seed=1).startswith("a")


def test_a_text_of_ones_own_is_compared_on_too(model: Path, run: Run) -> None:
    def tokens(*more: str) -> int:
        return int(
            run("export", str(model), "--to", "merged", "--out", "plain", "--force", "--json", *more).json[
                "tokens"
            ]
        )

    Path("mine.txt").write_text("what i care about, and more of it. " * 50)
    assert tokens("--check", "mine.txt") > tokens() + 1000


def test_nothing_is_written_over(model: Path, run: Run) -> None:
    asked = ("export", str(model), "--to", "gguf", "--no-llama-cpp")
    assert run(*asked).code == 0
    again = run(*asked)
    assert again.code == 2
    assert "exports/book-f16.gguf is there already" in again.err
    assert "--force" in again.err
    assert run(*asked, "--force").code == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--to", "merged", "--quantize", "q8_0"), "--quantize is for GGUF files"),
        (("--to", "gguf", "--dtype", "float16"), "--dtype is for folders"),
    ],
)
def test_settings_of_the_other_format_are_refused(
    options: tuple[str, ...], says: str, model: Path, run: Run
) -> None:
    done = run("export", str(model), *options)
    assert done.code == 2
    assert says in done.err


@pytest.mark.parametrize("family", ["lecture", "bigram"])
def test_models_of_the_lessons_have_no_counterpart(family: str, model: Path, run: Run) -> None:
    save_model("runs/lesson", lively(tiny(family)), char_tokenizer())
    done = run("export", "runs/lesson", "--to", "gguf")
    assert done.code == 1
    assert f"llama.cpp has no model like {family}" in done.err
    assert not Path("exports").exists()
    assert run("export", "runs/lesson", "--to", "merged").code == 0


def test_a_file_that_is_not_there_is_said_to_be_missing(model: Path, run: Run) -> None:
    done = run("export", "somewhere/model.gguf", "--to", "merged")
    assert done.code == 1
    assert "There is no file somewhere/model.gguf" in done.err


def test_a_page_says_what_was_compared_and_what_was_memorised(model: Path, run: Run) -> None:
    done = run("export", str(model), "--to", "page", "--no-prove")
    assert done.code == 0, done.err
    assert "exports/book.html" in done.out
    assert "nats on average (KL)" in done.out
    assert "whether it memorised it was not measured" in done.out
    assert "the page's own code was not run here" in done.out
    again = run("export", str(model), "--to", "page", "--quantize", "f16", "--force", "--no-prove", "--json")
    assert again.json["precision"] == "f16"
    assert again.json["proof"] is None


def test_a_precision_of_another_format_is_refused(model: Path, run: Run) -> None:
    done = run("export", str(model), "--to", "page", "--quantize", "q8_0")
    assert done.code == 2
    assert "There are: int8, f16." in done.err
    assert run("export", str(model), "--to", "gguf", "--quantize", "int8").code == 2
