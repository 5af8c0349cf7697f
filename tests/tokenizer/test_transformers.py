"""What `save` writes opens in transformers with no code of ours, and means the same there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from homespun.tokenizer.open import load
from homespun.tokenizer.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

CONFIGS = {
    "no config": None,
    "qwen3": "Qwen3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
}


def opened(tokenizer: Tokenizer, folder: Path, family: str):
    tokenizer.save(folder)
    if CONFIGS[family]:
        config = {"model_type": family, "architectures": [CONFIGS[family]], "vocab_size": tokenizer.vocab_size}
        (folder / "config.json").write_text(json.dumps(config))
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("documents", [1, 2])
@pytest.mark.parametrize("spec", ["char", "byte", "bpe:400"])
def test_auto_tokenizer_gives_the_same_ids_and_text(
    spec: str, documents: int, family: str, make: Callable[..., Tokenizer], nasty_texts: list[str], tmp_path: Path
) -> None:
    ours = make(spec, documents=documents)
    theirs = opened(ours, tmp_path, family)
    for text in nasty_texts:
        ids = ours.encode(text)
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids) == ours.decode(ids) == text
    assert (len(theirs), theirs.eos_token_id) == (ours.vocab_size, ours.end_of_text)


@pytest.mark.parametrize("spec", ["char", "byte", "bpe:400"])
def test_random_ids_decode_the_same(spec: str, make: Callable[..., Tokenizer], tmp_path: Path) -> None:
    ours = make(spec, documents=2)
    theirs = opened(ours, tmp_path, "qwen3")
    random = np.random.default_rng(0)
    for _ in range(200):
        ids = random.integers(0, ours.vocab_size, 12).tolist()
        assert theirs.decode(ids) == ours.decode(ids)


def test_gpt2_opens_with_the_same_ids(gpt2_files, make, nasty_texts: list[str], tmp_path: Path) -> None:
    ours = make("gpt2")
    theirs = opened(ours, tmp_path, "gpt2")
    for text in nasty_texts:
        assert theirs(text)["input_ids"] == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text


def test_a_character_tokenizer_refuses_unknown_characters_there_too(make, tmp_path: Path) -> None:
    theirs = opened(make("char", text="abc"), tmp_path, "qwen3")
    with pytest.raises(Exception, match="a character that is not in this model's alphabet"):
        theirs("abcd")


def test_what_transformers_saves_again_is_recognised(make, nasty_texts: list[str], tmp_path: Path) -> None:
    for spec in ("char", "byte", "bpe:400"):
        ours = make(spec, documents=2)
        opened(ours, tmp_path / spec, "qwen3").save_pretrained(tmp_path / spec / "again")
        again = load(tmp_path / spec / "again")
        assert (again.kind, type(again), again.end_of_text) == (ours.kind, type(ours), ours.end_of_text)
        assert [again.encode(text) for text in nasty_texts] == [ours.encode(text) for text in nasty_texts]
