"""Checkpoints of nanoGPT, minGPT, the lecture and llama2.c, written by another implementation, give its logits."""

from __future__ import annotations

import argparse
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import homespun
from homespun.checkpoint.folder import load_model, save_model
from homespun.errors import CheckpointError, TokenizerError, UsageError
from homespun.model.config import GPTConfig as Shape
from homespun.model.gpt import build
from homespun.tokenizer.char import CharTokenizer
from tests.checkpoint import test_other_peoples_folders as folders
from tests.interop.lecture_models import (
    CHARACTERS,
    HEADS,
    TEXT,
    C,
    FirstMinGPT,
    Lecture,
    NanoGPT,
    T,
    V,
    lively,
    llama2c_bin,
    llama2c_state,
    tiny_llama,
    write_text,
)

ARGS = {
    "n_layer": 2,
    "n_head": HEADS,
    "n_embd": C,
    "block_size": T,
    "bias": False,
    "vocab_size": V,
    "dropout": 0.2,
}
META = {"vocab_size": V, "itos": dict(enumerate(CHARACTERS)), "stoi": {c: i for i, c in enumerate(CHARACTERS)}}
IDS = torch.arange(2 * T).view(2, T) * 7 % V


def save(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


def save_meta(path: Path, meta: Any = META) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(meta))
    return path


def nanogpt(model: Any, **more: Any) -> dict[str, Any]:
    """What nanoGPT's train.py saves, with an optimizer that has taken a step."""
    optimizer = torch.optim.AdamW(model.parameters())
    model(IDS).sum().backward()
    state = model.state_dict()
    optimizer.step()
    return {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "model_args": ARGS,
        "iter_num": 250,
        "best_val_loss": torch.tensor(1.5),
        "config": {"dataset": "my_chars", "out_dir": "out", "compile": True, "betas": (0.9, 0.95)},
    } | more


def largest_difference(out: Path, model: Callable[[Any], Any], ids: Any = IDS) -> float:
    imported, _ = load_model(out)
    with torch.no_grad():
        theirs = model(ids)
        return float((imported(ids)[0] - getattr(theirs, "logits", theirs)).abs().max())


def test_a_checkpoint_of_nanogpt_gives_its_logits_here_and_in_transformers(tmp_path: Path) -> None:
    model = lively(NanoGPT())
    value = nanogpt(model)
    value["model"] = {f"_orig_mod.{name}": tensor for name, tensor in value["model"].items()}
    file = save(tmp_path / "out-chars" / "ckpt.pt", value)
    save_meta(tmp_path / "data" / "my_chars" / "meta.pkl")
    imported = homespun.import_model(file, tmp_path / "run")
    assert largest_difference(tmp_path / "run", model) < 1e-4
    assert imported.tokenizer == str(tmp_path / "data" / "my_chars" / "meta.pkl")
    assert any("--gelu tanh" in note for note in imported.notes)
    _, tokenizer = load_model(tmp_path / "run")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert tokenizer.encode("Hello") == [META["stoi"][c] for c in "Hello"]
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    assert float((theirs(IDS).logits - model(IDS)).detach().abs().max()) < 1e-4


@pytest.mark.parametrize(("bias", "approximate", "gelu"), [(True, "none", "exact"), (True, "tanh", "tanh")])
def test_biases_and_either_gelu_are_kept(bias: bool, approximate: str, gelu: str, tmp_path: Path) -> None:
    model = lively(NanoGPT(bias=bias, approximate=approximate, mask=True))
    file = save(tmp_path / "ckpt.pt", nanogpt(model, model_args={**ARGS, "bias": bias}))
    save_meta(tmp_path / "meta.pkl")
    imported = homespun.import_model(file, tmp_path / "run", gelu=gelu)
    assert largest_difference(tmp_path / "run", model) < 1e-4
    assert not imported.notes


def test_the_two_gelus_are_not_the_same_model(tmp_path: Path) -> None:
    model = lively(NanoGPT())
    file = save(tmp_path / "ckpt.pt", nanogpt(model))
    save_meta(tmp_path / "meta.pkl")
    homespun.import_model(file, tmp_path / "run", gelu="tanh")
    assert largest_difference(tmp_path / "run", model) > 1e-4


def test_a_state_dict_of_mingpt_takes_its_heads_from_the_config_beside_it(tmp_path: Path) -> None:
    model = lively(NanoGPT(bias=True, approximate="tanh", tied=False, mask=True))
    file = save(tmp_path / "model.pt", model.state_dict())
    (tmp_path / "config.json").write_text(json.dumps({"model": {"n_head": HEADS, "n_layer": 2}, "system": {}}))
    homespun.import_model(file, tmp_path / "run", tokenizer=write_text(tmp_path))
    assert largest_difference(tmp_path / "run", model) < 1e-4


def test_a_size_of_mingpt_says_its_heads(tmp_path: Path) -> None:
    model = lively(NanoGPT(bias=True, approximate="tanh", tied=False, mask=True))
    file = save(tmp_path / "model.pt", model.state_dict())
    (tmp_path / "config.json").write_text(json.dumps({"model": {"model_type": "gpt-micro", "n_head": None}}))
    homespun.import_model(file, tmp_path / "run", tokenizer=write_text(tmp_path))
    assert largest_difference(tmp_path / "run", model) < 1e-4


def test_the_first_mingpt_comes_along(tmp_path: Path) -> None:
    model = lively(FirstMinGPT())
    file = save(tmp_path / "model.pt", model.state_dict())
    write_text(tmp_path)
    homespun.import_model(file, tmp_path / "run", heads=HEADS)
    assert largest_difference(tmp_path / "run", model) < 1e-4


@dataclass
class GPTConfig:
    """build-nanogpt saves an object of such a class of its script."""

    block_size: int = T
    n_head: int = HEADS


GPTConfig.__module__ = "__main__"


def test_settings_in_an_object_of_the_script_are_read_as_its_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import __main__

    monkeypatch.setattr(__main__, "GPTConfig", GPTConfig, raising=False)
    model = lively(NanoGPT(bias=True, approximate="tanh"))
    settings = {"model": model.state_dict(), "config": GPTConfig(), "step": 5, "val_loss": 3.1}
    file = save(tmp_path / "log" / "model_00005.pt", settings)
    homespun.import_model(file, tmp_path / "run", tokenizer=write_text(tmp_path))
    assert largest_difference(tmp_path / "run", model) < 1e-4
    file = save(file, {**settings, "config": argparse.Namespace(n_head=HEADS)})
    homespun.import_model(file, tmp_path / "run", tokenizer=tmp_path / "input.txt", force=True)
    assert largest_difference(tmp_path / "run", model) < 1e-4


@pytest.mark.parametrize("scale", [C // HEADS, C], ids=["repository", "video"])
def test_the_lectures_model_is_scaled_as_its_text_says(scale: int, tmp_path: Path) -> None:
    model = lively(Lecture(scale))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.tensor([CHARACTERS.index(c) for c in TEXT[: 17 * 60]]).view(-1, 17)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    file = save(tmp_path / "gpt.pt", model.state_dict())
    write_text(tmp_path)
    imported = homespun.import_model(file, tmp_path / "run")
    assert imported.family == "lecture"
    assert any("the loss on its text is" in note for note in imported.notes)
    assert largest_difference(tmp_path / "run", model) < 1e-4


def test_the_lectures_bigram_comes_along(tmp_path: Path) -> None:
    table = torch.nn.Embedding(V, V)
    file = save(tmp_path / "bigram.pt", {"token_embedding_table.weight": table.weight.detach()})
    write_text(tmp_path)
    assert homespun.import_model(file, tmp_path / "run").family == "bigram"
    assert largest_difference(tmp_path / "run", table) == 0.0


# ---- llama2.c ----


def tokenizer_bin(folder: Path) -> tuple[Path, Any]:
    """A SentencePiece model as Llama 2 has it, and the tokenizer.bin that llama2.c makes of it."""
    import sentencepiece as spm

    (folder / "text.txt").write_text(TEXT)
    spm.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "spm"), vocab_size=300, model_type="bpe",
        byte_fallback=True, character_coverage=1.0, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    model = spm.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    pieces = []
    for id in range(model.get_piece_size()):
        piece = model.id_to_piece(id)
        piece = f"\n{piece}\n" if id in (model.bos_id(), model.eos_id()) else piece
        pieces.append((model.get_score(id), piece.replace("▁", " ").encode()))
    content = struct.pack("<I", max(len(piece) for _, piece in pieces))
    content += b"".join(struct.pack("<fI", score, len(piece)) + piece for score, piece in pieces)
    path = folder / "tokenizer.bin"
    path.write_bytes(content)
    return path, model


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("tied", [True, False])
def test_a_file_of_llama2c_gives_the_logits_of_transformers(version: int, tied: bool, tmp_path: Path) -> None:
    path, pieces = tokenizer_bin(tmp_path)
    model = tiny_llama(300, tied=tied)
    (tmp_path / "stories.bin").write_bytes(llama2c_bin(model, version))
    imported = homespun.import_model(tmp_path / "stories.bin", tmp_path / "run")
    ids = torch.arange(2 * T).view(2, T) * 11 % 300
    assert largest_difference(tmp_path / "run", model, ids) < (0.2 if version == 2 else 1e-4)
    assert imported.tokenizer == str(path)
    _, tokenizer = load_model(tmp_path / "run")
    assert (tokenizer.opening, tokenizer.end_of_text) == ([1], 2)
    for text in (TEXT[:200], "  two  spaces", "é🙂"):
        assert tokenizer.encode(text) == pieces.encode(text)


def test_a_checkpoint_of_llama2c_is_the_same_model(tmp_path: Path) -> None:
    model = tiny_llama()
    args = {"dim": C, "n_layers": 2, "n_heads": HEADS, "n_kv_heads": 2, "vocab_size": V, "max_seq_len": T}
    state = {**llama2c_state(model), "freqs_cos": torch.zeros(T, 4), "freqs_sin": torch.zeros(T, 4)}
    file = save(tmp_path / "ckpt.pt", {"model": state, "model_args": args, "iter_num": 1})
    homespun.import_model(file, tmp_path / "run", tokenizer=save_meta(tmp_path / "meta.pkl"))
    assert largest_difference(tmp_path / "run", model) < 1e-4


def test_a_file_of_llama2c_that_was_cut_short_says_how_much_is_missing(tmp_path: Path) -> None:
    content = llama2c_bin(tiny_llama(), 0)
    (tmp_path / "stories.bin").write_bytes(content[:-2000])
    with pytest.raises(CheckpointError, match="was cut short"):
        homespun.import_model(tmp_path / "stories.bin", tmp_path / "run", tokenizer="gpt2")


# ---- folders of transformers with pickled weights ----


@pytest.mark.parametrize("make", [folders.llama, folders.gpt2])
def test_a_folder_with_pickled_weights_becomes_one_without(make: Any, tmp_path: Path) -> None:
    old = tmp_path / "old"
    model = make(old)
    save(old / "pytorch_model.bin", model.state_dict())
    (old / "model.safetensors").unlink()
    homespun.import_model(old / "pytorch_model.bin", tmp_path / "run")
    assert largest_difference(tmp_path / "run", model, folders.IDS) < 1e-4
    _, tokenizer = load_model(tmp_path / "run")
    assert tokenizer.encode("To be") == folders.load_tokenizer(old).encode("To be")


def test_a_head_that_transformers_has_no_name_for_is_kept(tmp_path: Path) -> None:
    shape = {"vocab_size": V, "context_length": T, "n_layer": 1, "n_head": HEADS, "n_embd": C, "tied_head": False}
    model = build(Shape.of("lecture", **shape)).eval()
    save_model(tmp_path / "run", model, CharTokenizer(sorted(CHARACTERS)))
    file = save(tmp_path / "run" / "model.pt", model.state_dict())
    homespun.import_model(file, tmp_path / "again")
    assert largest_difference(tmp_path / "again", lambda ids: model(ids)[0]) < 1e-4


# ---- what is missing ----


def test_without_an_alphabet_it_says_where_it_may_be(tmp_path: Path) -> None:
    file = save(tmp_path / "ckpt.pt", nanogpt(lively(NanoGPT())))
    with pytest.raises(UsageError) as caught:
        homespun.import_model(file, tmp_path / "run")
    assert f"does not say what its {V} tokens stand for" in caught.value.what
    assert "data/NAME/meta.pkl" in caught.value.todo
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_of_gpt2s_size_gets_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.tokenizer import gpt2
    from homespun.tokenizer.byte import ByteTokenizer

    monkeypatch.setattr(gpt2, "gpt2_tokenizer", ByteTokenizer)
    file = save(tmp_path / "ckpt.pt", nanogpt(lively(NanoGPT(rows=50_304))))
    assert homespun.import_model(file, tmp_path / "run").tokenizer == "GPT-2's tokenizer"


def test_a_text_with_another_alphabet_is_refused_with_both_numbers(tmp_path: Path) -> None:
    file = save(tmp_path / "ckpt.pt", nanogpt(lively(NanoGPT())))
    (tmp_path / "other.txt").write_text(TEXT + "%")
    with pytest.raises(CheckpointError, match=f"has {V + 1} different tokens, and the model of .* {V}"):
        homespun.import_model(file, tmp_path / "run", tokenizer=tmp_path / "other.txt")


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"itos": {0: "the", 1: "a"}}, "no alphabet of single characters: one of them is 'the'"),
        ({"itos": {0: "a", 1: "a"}}, "some are there twice"),
        ({"itos": {0: "a", 2: "b"}}, "has no 'itos'"),
        ({"stoi": {}}, "has no 'itos'"),
        (["a"], "has no 'itos'"),
    ],
)
def test_a_meta_that_is_no_alphabet_says_why(meta: Any, reason: str, tmp_path: Path) -> None:
    file = save(tmp_path / "ckpt.pt", nanogpt(lively(NanoGPT())))
    with pytest.raises(TokenizerError, match=reason):
        homespun.import_model(file, tmp_path / "run", tokenizer=save_meta(tmp_path / "m.pkl", meta))


def test_the_number_of_heads_is_asked_for(tmp_path: Path) -> None:
    file = save(tmp_path / "model.pt", lively(FirstMinGPT()).state_dict())
    with pytest.raises(UsageError) as caught:
        homespun.import_model(file, tmp_path / "run", tokenizer=write_text(tmp_path))
    assert "--heads N" in caught.value.todo


def test_a_changed_script_is_named_by_what_it_added(tmp_path: Path) -> None:
    value = nanogpt(lively(NanoGPT()))
    value["model"]["transformer.h.0.attn.gate.weight"] = torch.zeros(C, C)
    file = save(tmp_path / "ckpt.pt", value)
    with pytest.raises(CheckpointError, match=r"1 tensors more: transformer\.h\.0\.attn\.gate\.weight"):
        homespun.import_model(file, tmp_path / "run", tokenizer=save_meta(tmp_path / "meta.pkl"))


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    file = save(tmp_path / "ckpt.pt", nanogpt(lively(NanoGPT())))
    save_meta(tmp_path / "meta.pkl")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("x")
    with pytest.raises(UsageError, match="is there already"):
        homespun.import_model(file, tmp_path / "run")
    homespun.import_model(file, tmp_path / "run", force=True)
    assert (tmp_path / "run" / "mine").read_text() == "x"
