"""Texts that are held to a regular expression or a JSON schema, by models that would say something else."""

from __future__ import annotations

import builtins
import json
import re
from collections import Counter
from typing import Any

import pytest
import torch

from homespun.errors import MissingExtra, ModelError, UsageError
from homespun.generation.constraint import json_schema, pattern
from homespun.generation.settings import Sampling
from homespun.generation.text import generate, generate_pieces
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

TEXT = '{"name": "Ab", "age": 12, "né": true} 漢 0123456789-.: abcdefghijklmnopqrstuvwxyz,[]\n' * 30
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 5}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(params=["char", "char 3", "byte", "byte 3", "bpe:300"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    pytest.importorskip("llguidance")
    kind, _, documents = request.param.partition(" ")
    alphabet = dict(Counter(TEXT))
    return build(kind, alphabet=alphabet, documents=int(documents or 1), pieces=lambda: iter([TEXT]))


def babbler(tokenizer: Tokenizer) -> GPT:
    torch.manual_seed(0)
    shape = {"context_length": 64, "n_layer": 1, "n_head": 2, "n_embd": 16}
    return GPT(GPTConfig.of("modern", vocab_size=tokenizer.vocab_size + 3, tied_head=False, **shape))


@pytest.mark.parametrize("regex", ["[0-9]{4}-[0-9]{2}", "(yes|no|née)", "[a-z]{2,6}", "漢+ ok"])
def test_a_pattern_is_held(tokenizer: Tokenizer, regex: str) -> None:
    bounded = regex.replace("漢+", "漢{1,3}")
    for seed in range(4):
        pieces = generate_pieces(
            babbler(tokenizer), tokenizer, "x", sampling=Sampling(temperature=2.0, seed=seed),
            constraint=pattern(bounded, tokenizer),
        )  # fmt: skip
        text = "".join(pieces)
        assert re.fullmatch(bounded, text) and pieces.finish_reason == "stop"


def test_a_schema_is_held(tokenizer: Tokenizer) -> None:
    for seed in range(3):
        text = generate(
            babbler(tokenizer), tokenizer, "", max_tokens=500, sampling=Sampling(temperature=1.0, seed=seed),
            logit_bias=dict.fromkeys(tokenizer.encode(" \n"), -30.0), constraint=json_schema(PERSON, tokenizer),
        )  # fmt: skip
        found = json.loads(text)
        assert found.keys() == {"name", "age"} and len(found["name"]) <= 5 and found["age"] <= 99


def test_what_is_no_pattern_or_schema_is_told_at_once(tokenizer: Tokenizer) -> None:
    for make, wrong in ((pattern, "("), (json_schema, {"type": "nonsense"}), (json_schema, "{")):
        with pytest.raises(UsageError):
            make(wrong, tokenizer)  # type: ignore[operator]


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name == "llguidance":
            raise ImportError(name)
        return plain(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"homespun\[constrained\]"):
        pattern("a", None)  # type: ignore[arg-type]


def test_a_character_that_no_token_has_ends_the_text_with_what_is_wrong() -> None:
    pytest.importorskip("llguidance")
    letters = build("char", alphabet={"a": 1, "b": 1}, documents=1, pieces=lambda: iter(["ab"]))
    assert generate(babbler(letters), letters, "a", constraint=pattern("ab?a", letters)) in ("aa", "aba")
    for constraint in (pattern("a7", letters), json_schema({"type": "object"}, letters)):
        with pytest.raises(ModelError, match="no token of this model may stand here"):
            generate(babbler(letters), letters, "a", constraint=constraint)


def test_what_is_wrong_with_a_pattern_is_told_on_one_line() -> None:
    pytest.importorskip("llguidance")
    letters = build("char", alphabet={"a": 1}, documents=1, pieces=lambda: iter(["a"]))
    with pytest.raises(UsageError) as told:
        pattern("[0-9", letters)
    assert told.value.what == "The pattern '[0-9' cannot be used: unclosed character class."
