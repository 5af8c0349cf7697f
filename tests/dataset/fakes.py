"""A corpus and a tokenizer that are as small as can be, for tests of the dataset alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from homespun.dataset.preparation import prepare
from homespun.errors import UnknownCharacter


@dataclass
class FakeDocument:
    origin: str
    text: str
    piece: int

    def pieces(self) -> Iterator[str]:
        for start in range(0, len(self.text), self.piece):
            yield self.text[start : start + self.piece]


@dataclass
class FakeCorpus:
    """The texts, handed out in pieces of `piece` characters. `reads` counts how often they were asked for."""

    texts: list[str]
    piece: int = 1000
    title: str = "a fake text"
    reads: int = field(default=0)

    def documents(self) -> Iterator[FakeDocument]:
        self.reads += 1
        for number, text in enumerate(self.texts):
            yield FakeDocument(f"{number}.txt", text, self.piece)

    def survey(self) -> Any:
        return SimpleNamespace(
            documents=len(self.texts),
            characters=sum(map(len, self.texts)),
            alphabet=dict(Counter("".join(self.texts))),
            document_characters=[len(text) for text in self.texts],
            document_keys=[hashlib.sha256(text.encode()).hexdigest() for text in self.texts],
            key=hashlib.sha256(json.dumps(self.texts).encode()).hexdigest(),
        )


class FakeTokenizer:
    """One id a character, the sorted alphabet from 0; the last id, if wanted, stands between documents."""

    kind = "char"

    def __init__(self, alphabet: str, end: bool = False, vocab_size: int = 0) -> None:
        self.alphabet = "".join(sorted(set(alphabet)))
        self.number = {character: id for id, character in enumerate(self.alphabet)}
        self.end_of_text = len(self.alphabet) if end else None
        self.vocab_size = vocab_size or len(self.alphabet) + end
        self.key = f"fake {self.alphabet} {self.vocab_size} {end}"

    def encode_array(self, text: str) -> np.ndarray:
        unknown = set(text) - set(self.alphabet)
        if unknown:
            raise UnknownCharacter(f"{min(unknown)!r} is unknown.", "Leave it out.")
        return np.array([self.number[character] for character in text], dtype=np.uint32)

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        return [self.encode_array(text) for text in texts]

    def decode(self, ids: np.ndarray) -> str:
        return "".join("|" if id == self.end_of_text else self.alphabet[id] for id in ids.tolist())


def prepare_together(text: str, start: Any, results: Any) -> None:
    """What each of several processes does: wait for the others, prepare the same text, tell what came out."""
    corpus = FakeCorpus([text], piece=300)
    start.wait()
    dataset = prepare(corpus, FakeTokenizer(text))
    results.put((dataset.key, int(dataset.train.ids.sum()), dataset.train.tokens))
