"""Decode ids to text one at a time, always in whole characters.

The texts from pushing all ids and flushing, joined, equal what `decode` returns for all ids at once, and the work
for one id does not grow with the number of ids before it.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol


class TokenStream(Protocol):
    """Push ids, get text."""

    def push(self, id: int) -> str:
        """Return the text that this id completes; "" while a character is incomplete. Raises TokenizerError."""

    def flush(self) -> str:
        """Return the remaining text at the end: an incomplete character becomes U+FFFD."""


class CharacterStream:
    """For tokenizers in which every id is a text of its own: char."""

    def __init__(self, text_of: Callable[[int], str]) -> None:
        self._text_of = text_of

    def push(self, id: int) -> str:
        return self._text_of(id)

    def flush(self) -> str:
        return ""


class ByteStream:
    """For tokenizers whose ids are bytes: byte, bpe, gpt2. A character may take several ids."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        return self._decoder.decode(self._bytes_of(id))

    def flush(self) -> str:
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


class PieceStream:
    """For SentencePiece: `▁` is a space, the first space of the text is dropped, and `<0xE2>` is a byte.

    A run of byte pieces is decoded as a whole: it is text if all of it is UTF-8, and otherwise one U+FFFD for
    each byte. So its text is known only when the run ends. `tokenizers` decodes in the same way, and so does
    transformers.
    """

    def __init__(self, token_of: Callable[[int], str], *, byte_fallback: bool, strip: bool) -> None:
        self._token_of = token_of
        self._byte_fallback = byte_fallback
        self._strip = self._at_start = strip
        self._run = bytearray()

    def push(self, id: int) -> str:
        token = self._token_of(id).replace("▁", " ")
        byte = _byte_of_piece(token) if self._byte_fallback else None
        if byte is not None:
            self._run.append(byte)
            return ""
        return self._without_first_space(self._end_run() + token)

    def flush(self) -> str:
        text = self._without_first_space(self._end_run())
        self._at_start = self._strip
        return text

    def _end_run(self) -> str:
        run = bytes(self._run)
        self._run.clear()
        try:
            return run.decode("utf-8")
        except UnicodeDecodeError:
            return "\ufffd" * len(run)

    def _without_first_space(self, text: str) -> str:
        if text and self._at_start:
            self._at_start = False
            return text.removeprefix(" ")
        return text


class WindowStream:
    """For a tokenizer.json with any other decoder: decode the last few ids again and compare.

    The text of a window is final once it does not end in an incomplete character. Decoders that depend on ids
    before the last whole piece may differ from `decode` by a space.
    """

    LONGEST_WAIT = 8  # ids; a UTF-8 character has at most 4 bytes

    def __init__(self, decode: Callable[[Iterable[int]], str]) -> None:
        self._decode = decode
        self._known: list[int] = []  # ids whose text was returned, kept as context
        self._pending: list[int] = []

    def push(self, id: int) -> str:
        self._pending.append(id)
        text = self._pending_text()
        if text.endswith("\ufffd") and len(self._pending) < self.LONGEST_WAIT:
            return ""
        self._known, self._pending = self._pending, []
        return text

    def flush(self) -> str:
        text = self._pending_text() if self._pending else ""
        self._known, self._pending = [], []
        return text

    def _pending_text(self) -> str:
        before = self._decode(self._known)
        return self._decode(self._known + self._pending)[len(before) :]


def _byte_of_piece(token: str) -> int | None:
    """
    >>> _byte_of_piece("<0xE2>"), _byte_of_piece("E2")
    (226, None)
    """
    if len(token) != 6 or not (token.startswith("<0x") and token.endswith(">")):
        return None
    try:
        return int(token[3:5], 16)
    except ValueError:
        return None


def decoder_steps(decoder: Any) -> dict[str, bool] | None:
    """Return which optional steps this decoder has, if it is SentencePiece's as in Llama; else None."""
    if decoder is None:
        return None
    content = json.loads(decoder.__getstate__())
    steps = content.get("decoders", []) if content["type"] == "Sequence" else [content]
    names = [step["type"] for step in steps]
    space = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    if not steps or steps[0] != space or (names[-1] == "Strip" and steps[-1] != strip):
        return None
    shapes = (
        ["Replace", "ByteFallback", "Fuse"],
        ["Replace", "ByteFallback", "Fuse", "Strip"],
        ["Replace", "Fuse"],
        ["Replace", "Fuse", "Strip"],
    )
    if names not in shapes:
        return None
    return {"byte_fallback": "ByteFallback" in names, "strip": "Strip" in names}
