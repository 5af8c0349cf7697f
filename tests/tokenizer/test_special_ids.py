"""Which ids begin and end a text: kept when a tokenizer is opened, grown and saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors

from homespun.tokenizer.make import build
from homespun.tokenizer.open import load
from homespun.tokenizer.special_ids import SpecialIds, StatedIds
from homespun.tokenizer.tokenizer import Tokenizer
from tests.tokenizer.test_sentencepiece import SHAPES, model

LLAMA_2 = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"


def made(kind: str) -> Tokenizer:
    text = "to be or not to be "
    return build(kind, alphabet=dict.fromkeys(text, 1), documents=2, pieces=lambda: iter([text * 20]))


def test_a_tokenizer_ends_a_text_with_its_own_end_first() -> None:
    tokenizer = made("char")
    assert tokenizer.ends == (tokenizer.end_of_text,)
    tokenizer.stated = StatedIds(SpecialIds(eos=(0, 1)), SpecialIds(eos=(1, 2, 10**6)))
    assert tokenizer.ends == (tokenizer.end_of_text, 0, 1, 2)


@pytest.mark.parametrize("kind", ["char", "byte", "bpe:260"])
def test_a_new_model_takes_no_ends_over(kind: str) -> None:
    tokenizer = made(kind)
    grown = tokenizer.with_special_tokens(["<x>"], end_of_text="<x>")
    assert grown.for_a_new_model(documents=2).ends == (grown.special_tokens["<x>"],)


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_a_folder_that_opens_texts_with_a_mark_keeps_it(kind: str, tmp_path: Path) -> None:
    """transformers puts the mark there, after the post_processor of tokenizer.json."""
    transformers = pytest.importorskip("transformers")
    made(kind).save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    mark = theirs.eos_token
    theirs.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{mark} $A", pair=f"{mark} $A {mark} $B", special_tokens=[(mark, theirs.eos_token_id)]
    )
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = load(tmp_path)
    assert ours.opening == [theirs.eos_token_id]
    assert ours.encode("to be") == made(kind).encode("to be")


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_a_post_processor_that_adds_nothing_changes_nothing(kind: str, tmp_path: Path) -> None:
    made(kind).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    content["post_processor"] = {"type": "TemplateProcessing", "single": [sequence], "pair": [sequence, sequence]}
    path.write_text(json.dumps({**content, "post_processor": {**content["post_processor"], "special_tokens": {}}}))
    assert type(load(tmp_path)) is type(made(kind))


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_named_tokens_of_simple_tokenizers_are_kept(kind: str, tmp_path: Path) -> None:
    grown = made(kind).with_special_tokens(["<s>", "<pad>"], end_of_text="<|endoftext|>")
    grown.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    named = {"bos_token": "<s>", "pad_token": {"content": "<pad>"}, "unk_token": "<not there>"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **named}))
    assert {name: load(tmp_path).settings.get(name) for name in named} == {
        "bos_token": "<s>", "pad_token": "<pad>", "unk_token": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("says", "opening"), [({"add_bos_token": True}, [1]), ({"add_bos_token": False}, []), ({}, [1])]
)
def test_a_sentencepiece_model_heeds_the_settings_beside_it(
    says: dict[str, Any], opening: list[int], tmp_path: Path
) -> None:
    # Where nothing is said, the class of Llama opens with <s>: so it did when these models were trained, and so
    # does llama.cpp; transformers 5 has given that up.
    model(tmp_path, **SHAPES["bpe like Llama"])
    settings = {"tokenizer_class": "LlamaTokenizer", "chat_template": LLAMA_2, "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, **says}))
    (tmp_path / "spm.model").rename(tmp_path / "tokenizer.model")
    tokenizer = load(tmp_path)
    assert tokenizer.opening == opening
    assert tokenizer.settings["chat_template"] == LLAMA_2
    tokenizer.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert (again.opening, again.key, again.settings) == (
        opening,
        tokenizer.key,
        {**tokenizer.settings, **again.settings},
    )
    if says:
        transformers = pytest.importorskip("transformers")
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        assert theirs("To be").input_ids[: len(opening)] == opening


def test_a_sentencepiece_model_ends_a_text_with_the_piece_that_is_named_beside_it(tmp_path: Path) -> None:
    model(tmp_path, **SHAPES["bpe like Llama"], control_symbols=["<|im_end|>"])
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    tokenizer = load(tmp_path / "spm.model")
    assert tokenizer.end_of_text_token == "<|im_end|>"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|not there|>"}))
    assert load(tmp_path / "spm.model").end_of_text_token == "</s>"
