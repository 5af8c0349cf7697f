"""What homespun writes is opened without a trial, by no clock, and recognised by its content alone."""

from __future__ import annotations

import doctest
import json
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from homespun.tokenizer import steps
from homespun.tokenizer.open import load
from homespun.tokenizer.steps import LLAMA_3, QWEN_2, is_known, opening_template, split
from homespun.tokenizer.tokenizer import Tokenizer
from tests.tokenizer.conftest import LEARNED_FROM


@pytest.fixture
def no_trial_and_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process can be started, and between any two readings of a clock ten seconds have passed."""
    passed = count(step=10.0)
    for name in ("process_time", "thread_time", "perf_counter", "monotonic"):
        monkeypatch.setattr(time, name, lambda: next(passed))
    monkeypatch.setattr(subprocess, "Popen", mock.Mock(side_effect=AssertionError("a trial")))


@pytest.mark.usefixtures("no_trial_and_no_clock")
@pytest.mark.parametrize("spec", ["char", "byte", "bpe:300", "bpe:512", "bpe:600"])
@pytest.mark.parametrize("documents", [1, 2])
def test_what_homespun_writes_opens_at_once(
    spec: str, documents: int, make: Callable[..., Tokenizer], tmp_path: Path
) -> None:
    tokenizer = make(spec, documents=documents)
    tokenizer.save(tmp_path)
    assert load(tmp_path).key == tokenizer.key
    assert load(tmp_path).encode(LEARNED_FROM) == tokenizer.encode(LEARNED_FROM)


@pytest.mark.usefixtures("no_trial_and_no_clock")
def test_gpt2_opens_at_once(make: Callable[..., Tokenizer], gpt2_files: Any, tmp_path: Path) -> None:
    make("gpt2").save(tmp_path)
    assert load(tmp_path).kind == "gpt2"


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("symbols", [[], ["<sep>", "xyz"]])
def test_what_a_sentencepiece_model_became_opens_at_once(
    kind: str, symbols: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text").write_text(LEARNED_FROM)
    sentencepiece.SentencePieceTrainer.train(
        input=f"{tmp_path}/text", model_prefix=f"{tmp_path}/m", model_type=kind, vocab_size=60, minloglevel=2,
        hard_vocab_limit=False, normalization_rule_name="identity", user_defined_symbols=symbols,
    )  # fmt: skip
    load(tmp_path / "m.model").save(tmp_path / "saved")
    request.getfixturevalue("no_trial_and_no_clock")
    assert load(tmp_path / "saved").kind == "sentencepiece"


def content(**parts: Any) -> dict[str, Any]:
    return {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}, **parts}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
KNOWN = {
    "nothing": content(),
    "llama 3": content(
        pre_tokenizer={"type": "Sequence", "pretokenizers": [split(LLAMA_3), BYTES]},
        post_processor=opening_template("<|begin_of_text|>", 2),
        decoder=BYTES,
    ),
    "qwen 2": content(
        normalizer={"type": "NFC"}, pre_tokenizer={"type": "Sequence", "pretokenizers": [split(QWEN_2), BYTES]}
    ),
}
STRANGE = {
    "another expression": content(pre_tokenizer=split(LLAMA_3 + "|(a*)*")),
    "an expression with a label on it": content(pre_tokenizer={**split("(a*)*"), "author": "homespun"}),
    "an expression called bytes": content(pre_tokenizer={**split("(a*)*"), "type": "ByteLevel"}),
    "a table called NFC": content(normalizer={"type": "NFC", "precompiled_charsmap": "/////wAAAAA="}),
    "a step that is none": content(decoder={"type": "Sequence", "decoders": ["Fuse"]}),
    "a sequence of two kinds": content(decoder={"type": "Sequence", "decoders": [], "processors": []}),
    "a template with two marks": content(
        post_processor={**opening_template("a", 0), "single": [{"SpecialToken": {"id": "b", "type_id": 0}}]}
    ),
    "a text put between its letters": content(normalizer=steps.replace({"Regex": "(?=.)"}, "b")),
    "a longer prefix": content(normalizer={"type": "Prepend", "prepend": "▁" * 10**6}),
    "a merge into nothing": content(model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}),
    "merges with a prefix": content(model={**content()["model"], "continuing_subword_prefix": "##"}),
    "words": content(model={"type": "WordLevel", "vocab": {"a": 0}}),
    "a model with more to it": content(model={**content()["model"], "magic": 1}),
    "ten thousand symbols": content(pre_tokenizer=split("|".join([r"\x{61}\x{62}"] * 10_000))),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_steps_are_recognised(name: str) -> None:
    assert is_known(json.loads(json.dumps(KNOWN[name])))


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_not_exactly_known_is_tried(name: str) -> None:
    assert not is_known(STRANGE[name])


def test_the_worked_examples_are_right() -> None:
    outcome = doctest.testmod(steps)
    assert outcome.attempted and not outcome.failed
