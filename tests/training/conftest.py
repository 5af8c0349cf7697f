"""A small text with something to learn in it, and a plan that trains on it in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from homespun.dataset.preparation import Dataset, prepare
from homespun.planning.facts import Facts
from homespun.planning.plan import Plan, parse_settings
from homespun.planning.planner import Wishes, decide
from homespun.text.sources import read
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

LINES = "\n".join(
    f"{who} {does} the {what} {when}."
    for who in ("A cat", "The dog", "My uncle", "Nobody")
    for does in ("sees", "wants", "paints", "forgets")
    for what in ("moon", "garden", "river", "kettle", "letter")
    for when in ("today", "at night", "on Sunday", "again")
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


@pytest.fixture
def tokenizer() -> Tokenizer:
    return build(
        "char", alphabet={c: LINES.count(c) for c in set(LINES)}, documents=1, pieces=lambda: iter([LINES])
    )


@pytest.fixture
def dataset(book: Path, tokenizer: Tokenizer) -> Dataset:
    return prepare(read(book), tokenizer)


def small_plan(dataset: Dataset, *, model: str = "modern", steps: int | None = 40, **settings: Any) -> Plan:
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "context_length": 16, "batch_size": 8, "compile": False}
    wishes = Wishes(
        text=("book.txt",),
        tokenizer="char",
        model=model,
        steps=steps,
        settings=tuple(parse_settings({**shape, **settings}).items()),
    )
    facts = Facts(train_tokens=dataset.train.tokens, val_tokens=dataset.val.tokens, vocab_size=dataset.vocab_size)
    return decide(wishes, facts)
