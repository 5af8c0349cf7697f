"""`homespun studio`, as far as it gets without serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.cli import main
from homespun.cli.errors import fit
from homespun.studio.command_lines import export, finetune, train
from homespun.studio.jobs import problem_in
from homespun.studio.processes import COLUMNS
from homespun.studio.schema.acts import ExportRequest, FinetuneRequest, PlanRequest
from homespun.studio.static_files import StaticFiles
from homespun.studio.uploads import LONGEST_NAME, cleaned


def test_a_folder_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["studio", "nowhere", "--no-open"]) == 2
    assert "nowhere is no folder" in capsys.readouterr().err


SHOWN = {"model": "modern", "tokenizer": "char", "minutes": 5.0, "steps": 700, "n_layer": 2, "compile": False}


def test_a_training_is_given_every_value_of_the_plan_that_was_shown() -> None:
    asked = PlanRequest.model_validate({"text": {"kind": "path", "path": "--help"}, "field": "--out=/"})
    words = train(asked, "/home/--help", SHOWN, Path("/home/runs/x"))
    assert words[:2] == ["train", "--out=/home/runs/x"] and words[-2:] == ["--", "/home/--help"]
    assert {"--minutes=5", "--model=modern", "--tokenizer=char", "--set=n_layer=2", "--set=compile=False"} <= {
        *words
    }
    assert "--field=--out=/" in words and not any("steps" in word for word in words)
    in_steps = train(asked, "/a", {**SHOWN, "minutes": 0.0}, Path("/x"))
    assert "--set=steps=700" in in_steps and not any("minutes" in word for word in in_steps)


def test_what_a_page_sends_is_no_option_of_a_fine_tuning_or_an_export() -> None:
    body = {"run": "runs/a", "text": {"kind": "path", "path": "x"}, "answers": "--plan", "settings": {"--x": "-y"}}
    words = finetune(FinetuneRequest.model_validate(body), "/text", Path("/model"), Path("/out"))
    assert words == ["finetune", "--out=/out", "--as=--plan", "--set=--x=-y", "--", "/model", "/text"]
    request = ExportRequest.model_validate({"run": "runs/a", "to": "gguf", "quantize": "q8_0"})
    assert export(request, Path("/model"), Path("/out"))[-2:] == ["--", "/model"]


def test_a_failure_is_read_from_what_the_command_printed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert problem_in(log) is None
    log.write_text(
        "note: read as cp1250\nerror: first\nmore\nerror: There is no text.\n  Give one:\n    homespun x\n"
    )
    assert problem_in(log) == "There is no text.\nGive one:\n  homespun x"


@pytest.mark.parametrize("length", range(40, 200, 7))
def test_a_failure_is_not_folded_as_the_terminal_had_it(
    tmp_path: Path, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    words = (
        "a folder of words that go on and on and never come to their end because there are so many of them " * 3
    )
    what, todo = f"{words[:length].strip()}.", f"Do this with {words[: length // 2].strip()}."
    (tmp_path / "log").write_text(fit(f"error: {what}", f"{todo}\nhomespun train it") + "\n")
    assert problem_in(tmp_path / "log") == f"{what}\n{todo}\n  homespun train it"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "\0", "..", "con\ntrol", "ü" * 300 + ".txt", "‮txt.exe", " . ", "x" * 500]
)
def test_a_cleaned_name_is_one_name(name: str) -> None:
    found = cleaned(name)
    assert found == cleaned(found) and found not in (".", "..") and "/" not in found and "\\" not in found
    assert 0 < len(found.encode()) <= LONGEST_NAME and found.isprintable()


def test_a_page_that_was_not_built_says_so(tmp_path: Path) -> None:
    files = StaticFiles(tmp_path)
    assert files.has("/") and not files.has("/studio.js")
