"""homespun import says what it made of a checkpoint, what it guessed, and how to go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from tests.cli.conftest import Run
from tests.interop.lecture_models import NanoGPT, lively, write_text
from tests.interop.test_import import nanogpt, save, save_meta


def test_it_says_what_it_made_and_what_it_guessed(run: Run, tmp_path: Path) -> None:
    file = save(tmp_path / "ckpt.pt", nanogpt(lively(NanoGPT())))
    save_meta(tmp_path / "meta.pkl")
    outcome = run("import", str(file), "--out", str(tmp_path / "run"))
    assert outcome.code == 0
    assert f"{tmp_path / 'run'}: a checkpoint of nanoGPT" in outcome.out
    assert "note: the file does not say which GELU" in outcome.out
    assert f"homespun generate {tmp_path / 'run'}" in outcome.out
    assert run("generate", str(tmp_path / "run"), "Hello", "--max-tokens", "3").code == 0
    assert run("show", str(tmp_path / "run")).code == 0


def test_json_is_one_object(run: Run, tmp_path: Path) -> None:
    file = save(tmp_path / "bigram.pt", {"token_embedding_table.weight": torch.zeros(25, 25)})
    text = write_text(tmp_path)
    said = run("import", str(file), "--out", str(tmp_path / "run"), "--tokenizer", str(text), "--json")
    assert said.code == 1 and "different tokens" in said.err
    characters = len(set(text.read_text()))
    save(file, {"token_embedding_table.weight": torch.zeros(characters, characters)})
    said = run("import", str(file), "--out", str(tmp_path / "run"), "--tokenizer", str(text), "--json")
    assert said.json["family"] == "bigram" and said.json["vocab_size"] == characters


def test_a_hostile_file_is_an_error_without_a_traceback(run: Run, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    file = save(tmp_path / "ckpt.pt", {"model": Trap()})
    outcome = run("import", str(file), "--out", str(tmp_path / "run"))
    assert outcome.code == 1 and "system" in outcome.err and "Traceback" not in outcome.err
    assert not (tmp_path / "sprung").exists()
    assert "homespun import" in run("generate", str(file)).err


def test_special_tokens_in_a_prompt_are_pointed_out(run: Run, tmp_path: Path) -> None:
    from homespun.checkpoint.folder import save_model
    from tests.checkpoint.models import char_tokenizer, tiny

    words = char_tokenizer(documents=2, alphabet="<|>abcdefghijklmnopqrstuvwxyz \n")
    save_model(tmp_path / "run", lively_model(tiny("modern", vocab_size=words.vocab_size)), words)
    outcome = run("generate", str(tmp_path / "run"), "a<|endoftext|>b", "--max-tokens", "1")
    assert "<|endoftext|> is a special token of this model, and read as text here" in outcome.err
    outcome = run("generate", str(tmp_path / "run"), "a<|endoftext|>b", "--max-tokens", "1", "--special")
    assert outcome.code == 0 and "special token" not in outcome.err


def lively_model(config: Any) -> Any:
    from tests.checkpoint.models import lively as shaken

    return shaken(config)


def test_a_text_that_goes_round_at_temperature_0_is_pointed_out_once(run: Run, tmp_path: Path) -> None:
    from homespun.checkpoint.folder import save_model
    from homespun.model.bigram import Bigram
    from homespun.model.config import BigramConfig
    from tests.checkpoint.models import char_tokenizer

    words = char_tokenizer()
    model = Bigram(BigramConfig(words.vocab_size)).eval()
    with torch.no_grad():
        model.table.weight.zero_()
        for id in range(words.vocab_size):
            model.table.weight[id, (id + 1) % 5] = 9.0
    save_model(tmp_path / "run", model, words)
    looped = run("generate", str(tmp_path / "run"), "a", "--temperature", "0", "--samples", "2")
    assert looped.err.count("it repeats itself") == 1 and "--repetition-penalty" in looped.err
    assert "repeats itself" not in run("generate", str(tmp_path / "run"), "a", "--max-tokens", "200").err
