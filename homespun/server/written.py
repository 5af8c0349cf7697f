"""From tokens to what a client gets: text in whole characters, up to a stop string, with log-probabilities."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from homespun.generation.sequence import Token
from homespun.generation.stopping import StopStrings
from homespun.generation.text import characters_after
from homespun.server.served import Served

LEAST_LOGPROB = -9999.0  # JSON has no minus infinity


@dataclass
class Piece:
    """A piece of text, and the tokens that it is made of: each with where its text begins."""

    text: str = ""
    tokens: list[tuple[Token, int]] = field(default_factory=list)

    def __iadd__(self, other: Piece) -> Piece:
        self.text += other.text
        self.tokens += other.tokens
        return self


class Written:
    """One text as it comes. What could be the beginning of a stop string is held back, with its tokens.

    offset  where the text begins: behind the prompt, where that is shown
    """

    def __init__(self, served: Served, prompt_ids: Sequence[int], stop: Iterable[str], offset: int = 0) -> None:
        self.characters = characters_after(served.tokenizer, prompt_ids)
        self.stop = StopStrings(stop)
        self.offset = offset
        self.length = self.shown = 0  # characters that have come; those that were let through
        self.count = 0  # tokens, those of a stop string among them
        self.pending: deque[tuple[Token, int]] = deque()

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string has come: what follows does not count."""
        return self.stop.reached

    def push(self, tokens: Iterable[Token]) -> Piece:
        piece = Piece()
        for token in tokens:
            if self.stop.reached:
                break
            self.count += 1
            self.pending.append((token, self.length))
            piece += self.let_through(self.characters.push(token.id))
        return piece

    def flush(self) -> Piece:
        """What is still held back, at the end."""
        piece = self.let_through(self.characters.flush())
        if not self.stop.reached:
            rest = self.stop.flush()
            piece += Piece(rest, [(token, self.offset + at) for token, at in self.pending])
            self.pending.clear()
        return piece

    def let_through(self, characters: str) -> Piece:
        self.length += len(characters)
        text = self.stop.push(characters)
        self.shown += len(text)
        tokens = []
        while self.pending and self.pending[0][1] < self.shown:
            token, at = self.pending.popleft()
            tokens.append((token, self.offset + at))
        return Piece(text, tokens)


def prompt_piece(served: Served, text: str, tokens: Sequence[Token], unseen: int) -> Piece:
    """The prompt as a piece: where the text of each of its tokens begins. The first `unseen` have no text there:
    the tokenizer put them before it."""
    characters = served.tokenizer.stream()
    piece, length = Piece(text), 0
    for place, token in enumerate(tokens):
        piece.tokens.append((token, min(length, len(text))))
        if place >= unseen:
            length += len(characters.push(token.id))
    return piece


# ---- log-probabilities, in both shapes ----


def chat_logprobs(served: Served, piece: Piece) -> dict[str, Any]:
    return {"content": [chat_entry(served, token) for token, _ in piece.tokens], "refusal": None}


def chat_entry(served: Served, token: Token) -> dict[str, Any]:
    alternatives = [named(served, id, logprob) for id, logprob in token.alternatives]
    return {**named(served, token.id, token.logprob), "top_logprobs": alternatives}


def named(served: Served, id: int, logprob: float | None) -> dict[str, Any]:
    """A token by its text, and by its bytes, which may be a part of a character."""
    content = served.token_bytes[id]
    return {
        "token": content.decode("utf-8", "replace"),
        "logprob": finite(logprob),
        "bytes": list(content),
    }


def legacy_logprobs(served: Served, piece: Piece) -> dict[str, Any]:
    """As /v1/completions has them. The first token of a shown prompt has none, since nothing precedes it."""
    return {
        "tokens": [legacy_name(served, token.id) for token, _ in piece.tokens],
        "token_logprobs": [None if token.logprob is None else finite(token.logprob) for token, _ in piece.tokens],
        "top_logprobs": [legacy_alternatives(served, token) for token, _ in piece.tokens],
        "text_offset": [at for _, at in piece.tokens],
    }


def legacy_alternatives(served: Served, token: Token) -> dict[str, float] | None:
    """By name, the likeliest first; the token itself is among them, as OpenAI has it."""
    if token.logprob is None:
        return None
    found: dict[str, float] = {}
    for id, logprob in (*token.alternatives, (token.id, token.logprob)):
        found.setdefault(legacy_name(served, id), finite(logprob))
    return found


def legacy_name(served: Served, id: int) -> str:
    r"""The token's text; `bytes:\xe2\x80` where it is a part of a character, as OpenAI writes it."""
    content = served.token_bytes[id]
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)


def finite(logprob: float | None) -> float:
    return LEAST_LOGPROB if logprob is None else max(logprob, LEAST_LOGPROB)
