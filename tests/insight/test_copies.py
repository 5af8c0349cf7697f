"""Pieces of a text that stand in the training text are found where a search with `in` finds them."""

from __future__ import annotations

import numpy as np
import pytest

from homespun.errors import UsageError
from homespun.insight.copies import copied_pieces
from homespun.tokenizer.tokenizer import Tokenizer
from tests.insight.conftest import TEXT


def test_pieces_are_the_longest_that_the_training_text_has(tokenizer: Tokenizer) -> None:
    written = "sat. the dog ran, and ran it again.\nRO the cat went on"
    train = np.array(tokenizer.encode(TEXT), np.uint16)
    found = copied_pieces(train, tokenizer, written, least=8)
    pieces = [written[slice(*piece.characters)] for piece in found.pieces]
    longest = set()
    for start in range(len(written)):
        end = max((e for e in range(start, len(written) + 1) if written[start:e] in TEXT), default=start)
        if end - start >= 8 and not any(written[start:end] in other for other in longest):
            longest.add(written[start:end])
    assert set(pieces) == longest and len(pieces) == 4
    for piece, text in zip(found.pieces, pieces, strict=True):
        assert TEXT[piece.place : piece.place + piece.length] == text and piece.length == len(text)
        whole = piece.before + text + piece.after
        assert whole in TEXT and len(piece.before) == min(40, piece.place)
    assert found.longest == max(map(len, pieces)) and found.text == written
    covered = {place for piece in found.pieces for place in range(piece.start, piece.start + piece.length)}
    assert found.share == pytest.approx(len(covered) / len(written))
    assert found.as_object()["pieces"][0]["characters"] == list(found.pieces[0].characters)


def test_characters_of_pieces_are_counted_where_tokens_are_longer(bpe_tokenizer: Tokenizer) -> None:
    train = np.array(bpe_tokenizer.encode(TEXT), np.uint16)
    written = "zzz" + TEXT[20:120] + "zzz"
    found = copied_pieces(train, bpe_tokenizer, written, least=5)
    piece = max(found.pieces, key=lambda piece: piece.length)
    assert written[slice(*piece.characters)] in TEXT and piece.characters[1] - piece.characters[0] > 80
    assert found.tokens == len(bpe_tokenizer.encode(written)) < len(written)


def test_a_held_out_text_says_how_much_is_to_be_expected(tokenizer: Tokenizer) -> None:
    train = np.array(tokenizer.encode(TEXT), np.uint16)
    held_out = np.array(
        tokenizer.encode("on a mat. rat on a" + "z" * 500 if "z" in TEXT else "on a mat. rat on a")
    )
    found = copied_pieces(train, tokenizer, "the cat sat again", least=6, held_out=held_out)
    assert found.expected_longest == len(" on a mat.") - 1 and found.expected is not None
    assert 0 < found.expected < 1
    assert copied_pieces(train, tokenizer, "the cat").expected is None


def test_only_long_pieces_count_where_nothing_else_is_asked(tokenizer: Tokenizer) -> None:
    train = np.array(tokenizer.encode(TEXT), np.uint16)
    found = copied_pieces(train, tokenizer, TEXT[:49])
    assert found.least == 50 and found.pieces == () and found.share == 0 and found.longest == 49


def test_what_is_wrong_is_said(tokenizer: Tokenizer) -> None:
    train = np.array(tokenizer.encode(TEXT), np.uint16)
    with pytest.raises(UsageError, match="The text is empty"):
        copied_pieces(train, tokenizer, "")
    with pytest.raises(UsageError, match="least is 0"):
        copied_pieces(train, tokenizer, "the cat", least=0)
