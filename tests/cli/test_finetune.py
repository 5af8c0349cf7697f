"""`homespun finetune` as a person types it."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from homespun.cli import main
from tests.finetuning.conftest import base, book, byte_tokenizer  # noqa: F401 (fixtures)

Make = Callable[..., Path]
QUICK = ["--steps", "4", "--set", "batch_size=2", "--set", "context_length=16", "--set", "rank=2"]


def test_json_ends_with_one_object(
    base: Make,
    book: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert main(["finetune", str(base()), str(book), *QUICK, "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    promised = {"out", "seconds", "val_loss_before", "val_loss", "bits_per_byte_before", "bits_per_byte"}
    assert promised <= found.keys() and found["out"] == str(out)
    assert found["bits_per_byte_before"] > 0 and found["general_before"] > 0
    assert "LoRA, rank 2" in printed.err


def test_the_screen_tells_before_and_after_and_what_comes_next(
    base: Make,
    book: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    assert main(["finetune", str(base()), str(book), *QUICK, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "before   after",
        "bits per byte of a general text",
        "what it wrote before",
        "generate",
        "export",
    ):
        assert words in printed
    assert main(["finetune", str(base()), str(book), *QUICK, "--out", str(out)]) == 2
    assert f"homespun finetune --out {out} --resume" in capsys.readouterr().err
    assert main(["generate", str(out), "A", "--max-tokens", "3"]) == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "No model was named"),
        (["MODEL"], "No text was named"),
        (["MODEL", "nowhere.txt"], "nowhere.txt"),
        (["nowhere", "TEXT"], "no model folder nowhere"),
        (["nowhere.gguf", "TEXT"], "There is no file nowhere.gguf"),
        (["MODEL", "TEXT", "--minutes", "1", "--steps", "2"], "both say how long"),
        (["MODEL", "TEXT", "--set", "rank"], "has no value"),
        (["MODEL", "TEXT", "--set", "n_layer=3"], "There is no setting 'n_layer'"),
        (["--resume"], "no run was named"),
        (["--plan", "nowhere.toml"], "no plan nowhere.toml"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    words: list[str],
    complaint: str,
    base: Make,
    book: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = {"MODEL": str(base()), "TEXT": str(book)}
    assert main(["finetune", *(known.get(word, word) for word in words)]) in (1, 2)
    told = capsys.readouterr().err
    assert complaint in told and "Traceback" not in told
    assert len(told.strip().splitlines()) >= 2
