"""An export says of bos, eos, pad and of sampling what the model said; a GGUF file as far as it has the words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import homespun
from homespun.checkpoint.folder import load_model
from homespun.errors import CheckpointError
from homespun.generation.text import generate_pieces
from homespun.interop import export as exporting
from homespun.interop.export import Leaving, export_gguf, export_merged
from homespun.interop.gguf.file import read_gguf
from homespun.interop.gguf.load import load_gguf
from homespun.interop.gguf.tokenizer import tokenizer_of as tokenizer_in
from homespun.interop.modelfile import modelfile
from homespun.interop.open import open_model
from homespun.interop.origin import Origin, origin_of
from homespun.tokenizer.special_ids import SpecialIds, StatedIds
from homespun.tokenizer.tokenizer import Tokenizer
from tests.checkpoint.models import lively, tiny
from tests.checkpoint.test_special_ids import adapter_of, foreign, stated
from tests.interop.files import write_gguf
from tests.interop.test_export import leaving, tokenizer_of

ENDS = {"bos_token_id": 32, "eos_token_id": [33, 34], "pad_token_id": 35}
SAMPLING = {
    "do_sample": True,
    "temperature": 0.6,
    "top_p": 0.9,
    "repetition_penalty": 1.1,
    "no_repeat_ngram_size": 4,
}


def words_of(file: Path) -> dict[str, Any]:
    """The ids with a role, by their roles, and what is put around a text."""
    settings = read_gguf(file).settings
    return {
        name.removeprefix("tokenizer.ggml.").removesuffix("_token_id"): value
        for name, value in settings.items()
        if name.endswith("_token_id") or name.startswith("tokenizer.ggml.add_")
    }


def ids_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {name.removesuffix("_token_id"): value for name, value in settings.items()}


def with_marks(*ends: str, bos: str = "") -> Tokenizer:
    """Characters and marks, as a model with a config names them."""
    marks = [*dict.fromkeys([*ends, *([bos] if bos else [])])]
    tokenizer = tokenizer_of("char").with_special_tokens(marks, end_of_text=ends[0] if ends else None)
    ids = SpecialIds(tokenizer.special_tokens.get(bos), tuple(tokenizer.special_tokens[name] for name in ends))
    tokenizer.stated = StatedIds(ids, ids)
    return tokenizer


def test_a_merged_folder_states_every_id_and_the_sampling_of_the_model(tmp_path: Path) -> None:
    foreign(
        tmp_path / "in", ENDS, {**ENDS, **SAMPLING, "transformers_version": "4.0", "_from_model_config": False}
    )
    homespun.export(tmp_path / "in", to="merged", out=tmp_path / "out")
    assert stated(tmp_path / "out", "config.json") == ids_of(ENDS)
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == {**ENDS, **SAMPLING}


def test_a_merged_folder_without_sampling_asks_for_none(tmp_path: Path) -> None:
    foreign(tmp_path / "in", {"bos_token_id": None, "eos_token_id": [33, 34]}, {"do_sample": False})
    homespun.export(tmp_path / "in", to="merged", out=tmp_path / "out")
    said = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert said == {"eos_token_id": [33, 34], "do_sample": False}


def test_a_merged_adapter_says_what_its_base_said(tmp_path: Path) -> None:
    base = foreign(tmp_path / "base", ENDS, {**ENDS, **SAMPLING})
    adapter = adapter_of(base, tmp_path / "adapter")
    homespun.export(adapter, to="merged", out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == {**ENDS, **SAMPLING}
    assert stated(tmp_path / "out", "config.json") == ids_of(ENDS)
    homespun.export(adapter, to="gguf", out=tmp_path / "out.gguf", llama_cpp=False)
    assert read_gguf(tmp_path / "out.gguf").settings["general.sampling.temp"] == pytest.approx(0.6)


def test_transformers_writes_with_an_export_as_with_the_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    foreign(tmp_path / "in", ENDS, {**ENDS, **SAMPLING})
    homespun.export(tmp_path / "in", to="merged", out=tmp_path / "out")
    kinds = (transformers.GenerationConfig, transformers.AutoConfig)
    for kind in kinds:
        one, other = (kind.from_pretrained(tmp_path / name) for name in ("in", "out"))
        for name in ENDS:
            assert getattr(one, name) == getattr(other, name), name


def test_a_gguf_file_has_three_ends_and_gives_them_back(tmp_path: Path) -> None:
    foreign(tmp_path / "in", ENDS, {**ENDS, **SAMPLING})
    done = homespun.export(
        tmp_path / "in", to="gguf", quantize="f32", out=tmp_path / "model.gguf", llama_cpp=False
    )
    words = words_of(tmp_path / "model.gguf")
    assert words == {
        "bos": 32, "eos": 33, "eot": 34, "padding": 35, "add_bos_token": False, "add_eos_token": False
    }  # fmt: skip
    model, tokenizer = load_gguf(tmp_path / "model.gguf")
    pieces = generate_pieces(model, tokenizer, "spin", max_tokens=5, logit_bias={34: 1e4})
    assert ("".join(pieces), pieces.finish_reason) == ("", "stop")
    assert not any("end a text" in note for note in done.notes)
    homespun.export(tmp_path / "model.gguf", to="merged", out=tmp_path / "back")
    assert stated(tmp_path / "back") == ids_of(ENDS)
    assert stated(tmp_path / "back", "config.json") == {**ids_of(ENDS), "pad": None}
    said = json.loads((tmp_path / "back" / "generation_config.json").read_text())
    assert (said["do_sample"], said["temperature"], said["repetition_penalty"]) == (True, 0.6, 1.1)


def test_what_ends_a_message_to_a_tool_has_a_place_of_its_own(tmp_path: Path) -> None:
    tokenizer = with_marks("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")
    export_gguf(leaving(tokenizer), tmp_path / "m.gguf", quantize="f32", force=False, ask_llama_cpp=False)
    words, ids = words_of(tmp_path / "m.gguf"), tokenizer.special_tokens
    assert (words["eos"], words["eot"], words["eom"]) == (
        ids["<|end_of_text|>"], ids["<|eot_id|>"], ids["<|eom_id|>"]
    )  # fmt: skip


def test_ends_for_which_a_gguf_file_has_no_room_are_said_and_stand_beside_it(tmp_path: Path) -> None:
    tokenizer = with_marks("<a>", "<b>", "<c>", "<d>")
    done = export_gguf(leaving(tokenizer), tmp_path / "m.gguf", quantize="f32", force=False, ask_llama_cpp=False)
    assert any("names 4 tokens that end a text" in note and "<d>" in note for note in done.notes)
    assert 'PARAMETER stop "<d>"\n' in (tmp_path / "m.Modelfile").read_text()
    assert len(load_gguf(tmp_path / "m.gguf")[1].ends) == 3


def test_one_end_needs_no_word_in_the_modelfile() -> None:
    assert "stop" not in modelfile("m.gguf", with_marks("<a>"), {}, 32, "")


def test_a_bos_that_llama_cpp_wants_and_the_model_has_not_is_none_when_it_comes_back(tmp_path: Path) -> None:
    tokenizer = with_marks("<a>")
    export_gguf(leaving(tokenizer), tmp_path / "m.gguf", quantize="f32", force=False, ask_llama_cpp=False)
    assert words_of(tmp_path / "m.gguf")["bos"] == tokenizer.end_of_text
    back = load_gguf(tmp_path / "m.gguf")[1]
    assert (
        back.special_ids.config == SpecialIds(None, (tokenizer.end_of_text,)) and "bos_token" not in back.settings
    )


def test_a_bos_of_the_models_own_stays_where_something_stands_in_for_its_end(tmp_path: Path) -> None:
    tokenizer = with_marks(bos="<s>")
    export_gguf(leaving(tokenizer), tmp_path / "m.gguf", quantize="f32", force=False, ask_llama_cpp=False)
    assert words_of(tmp_path / "m.gguf")["bos"] == tokenizer.special_tokens["<s>"]
    back = load_gguf(tmp_path / "m.gguf")[1]
    assert (back.ends, back.special_ids.config.bos) == ((), tokenizer.special_tokens["<s>"])


def test_a_new_models_file_says_what_its_folder_says(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char", 2)
    export_gguf(leaving(tokenizer), tmp_path / "m.gguf", quantize="f32", force=False, ask_llama_cpp=False)
    assert load_gguf(tmp_path / "m.gguf")[1].special_ids == tokenizer.special_ids


def pieces_file(folder: Path, **changes: Any) -> Path:
    """The settings of a Llama 2 .gguf file; without a model, which no tokenizer needs. None leaves one out."""
    sentencepiece = pytest.importorskip("sentencepiece")
    (folder / "text.txt").write_text("the river and the stone, the morning and the old green garden\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "its"), vocab_size=320, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    its = sentencepiece.SentencePieceProcessor(model_file=str(folder / "its.model"))
    ids = range(its.vocab_size())
    kind = {"unknown": its.is_unknown, "control": its.is_control, "byte": its.is_byte}
    numbers = {"unknown": 2, "control": 3, "byte": 6}
    values: dict[str, Any] = {
        "model": "llama",
        "tokens": [its.id_to_piece(id) for id in ids],
        "scores": [float(its.get_score(id)) for id in ids],
        "token_type": [next((numbers[name] for name in kind if kind[name](id)), 1) for id in ids],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    said = {f"tokenizer.ggml.{name}": value for name, value in {**values, **changes}.items() if value is not None}
    return write_gguf(folder / "its.gguf", "llama", said, {"token_embd.weight": np.zeros((len(ids), 4))})


@pytest.mark.parametrize(
    ("changes", "opening", "ends"),
    [
        ({"add_bos_token": True}, [1], (2,)),
        ({}, [1], (2,)),  # llama.cpp puts it there for these models unless it is told not to
        ({"add_bos_token": False}, [], (2,)),
        ({"bos_token_id": None, "eos_token_id": None, "unknown_token_id": None}, [1], (2,)),  # its usual ids
        ({"eot_token_id": 1}, [1], (2, 1)),
        ({"eot_token_id": 10**9, "eom_token_id": 1}, [1], (2, 1)),
    ],
)
def test_a_llama_2_file_opens_texts_and_ends_them_as_llama_cpp_does(
    changes: dict[str, Any], opening: list[int], ends: tuple[int, ...], tmp_path: Path
) -> None:
    tokenizer = tokenizer_in(read_gguf(pieces_file(tmp_path, **changes)))
    assert (tokenizer.opening, tokenizer.ends) == (opening, ends)


def test_what_a_llama_2_file_says_its_exports_say(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = tokenizer_in(read_gguf(pieces_file(tmp_path, add_bos_token=True)))
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size))
    kept = Leaving(model, tokenizer, Origin("mine"), ["the river"])
    export_merged(kept, tmp_path / "merged", dtype=torch.float32, force=False)
    assert json.loads((tmp_path / "merged" / "tokenizer_config.json").read_text())["add_bos_token"] is True
    assert stated(tmp_path / "merged") == {"bos": 1, "eos": 2, "pad": None}
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert theirs("the river").input_ids == [1, *tokenizer.encode("the river")]
    assert load_model(tmp_path / "merged")[1].opening == [1]
    export_gguf(kept, tmp_path / "again.gguf", quantize="f32", force=False, ask_llama_cpp=False)
    assert words_of(tmp_path / "again.gguf")["add_bos_token"] is True
    assert load_gguf(tmp_path / "again.gguf")[1].opening == [1]


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_characters_and_bytes_that_are_opened_by_a_mark_stay_so(kind: str, tmp_path: Path) -> None:
    """The file asks for the first mark before every text; the simple tokenizers know nothing of such marks."""
    plain = tokenizer_of(kind, 2)
    file = tmp_path / "m.gguf"
    export_gguf(leaving(plain), file, quantize="f32", force=False, ask_llama_cpp=False)
    found = read_gguf(file)
    opens = replace(found, settings={**found.settings, "tokenizer.ggml.add_bos_token": True})
    tokenizer = tokenizer_in(opens)
    assert tokenizer.opening == [plain.end_of_text]
    assert tokenizer.encode("abc") == plain.encode("abc")
    export_merged(replace(leaving(plain), tokenizer=tokenizer), tmp_path / "out", dtype=torch.float32, force=False)
    assert open_model(tmp_path / "out")[1].opening == [plain.end_of_text]


@pytest.mark.parametrize("to", ["gguf", "merged"])
def test_an_export_that_ends_texts_elsewhere_leaves_nothing(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = with_marks("<a>", "<b>")
    other = SpecialIds(eos=(tokenizer.special_tokens["<a>"],))

    def forgetful(*arguments: Any, **options: Any) -> Any:
        model, opened = (load_gguf if to == "gguf" else load_model)(*arguments, **options)
        opened.stated = StatedIds(other, other)
        return model, opened

    monkeypatch.setattr(exporting, "load_gguf" if to == "gguf" else "load_model", forgetful)
    with pytest.raises(CheckpointError, match="a text ends with the ids"):
        if to == "gguf":
            export_gguf(leaving(tokenizer), tmp_path / "m.gguf", quantize="f32", force=False, ask_llama_cpp=False)
        else:
            export_merged(leaving(tokenizer), tmp_path / "out", dtype=torch.float32, force=False)
    assert not list(tmp_path.iterdir())


def test_more_bits_are_advised_only_where_there_are_more(tmp_path: Path) -> None:
    def todo(precision: str) -> str:
        return exporting.not_the_model("it is far off", precision).todo

    assert "--quantize f32" in todo("q4_0") and "--dtype float32" in todo("bfloat16")
    for precision in ("f32", "float32", ""):
        assert "--" not in todo(precision) and "bug of homespun" in todo(precision)


def test_the_origin_of_a_folder_has_all_of_its_sampling(tmp_path: Path) -> None:
    foreign(tmp_path, ENDS, {**ENDS, **SAMPLING})
    assert origin_of(tmp_path, tmp_path).generation == SAMPLING
