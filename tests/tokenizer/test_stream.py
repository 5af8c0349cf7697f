"""Ids to text as they come: whole characters, and in the end exactly what decode gives."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models

from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

from .conftest import LEARNED_FROM, NASTY

TEXT = LEARNED_FROM + "".join(NASTY)
KINDS = {
    spec: build(spec, alphabet=Counter(TEXT), documents=2, pieces=lambda: iter([TEXT]))
    for spec in ("char", "byte", "bpe:400")
}


def pieces_like_llama(byte_fallback: bool, strip: bool) -> Tokenizer:
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁a", "b", "é", "漢", "▁▁", "a▁"]
    backend = Backend(
        models.BPE(
            vocab={name: id for id, name in enumerate(names)},
            merges=[],
            unk_token="<unk>",
            byte_fallback=byte_fallback,
        )
    )
    steps: list[decoders.Decoder] = [decoders.Replace("▁", " ")]
    steps += [decoders.ByteFallback()] * byte_fallback + [decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * strip)
    return Tokenizer(backend, "sentencepiece")


KINDS["llama"] = pieces_like_llama(True, True)
KINDS["no strip"] = pieces_like_llama(True, False)
KINDS["no bytes"] = pieces_like_llama(False, True)


def streamed(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    stream = tokenizer.stream()
    return [stream.push(id) for id in ids] + [stream.flush()]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_pieces_of_any_ids_join_to_what_decode_gives(kind: str, data: st.DataObject) -> None:
    tokenizer = KINDS[kind]
    # Bytes are among the first ids and pieces among the last; runs of both are what matters.
    near = st.integers(0, tokenizer.vocab_size - 1) | st.integers(
        max(0, tokenizer.vocab_size - 9), tokenizer.vocab_size - 1
    )
    ids = data.draw(st.lists(near, max_size=12))
    assert "".join(streamed(tokenizer, ids)) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", ["char", "byte", "bpe:400"])
def test_no_piece_of_a_real_text_has_half_a_character(kind: str) -> None:
    text = "né 漢字 😀👍🏽 ok"
    pieces = streamed(KINDS[kind], KINDS[kind].encode(text))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_comes_with_its_last_byte() -> None:
    assert streamed(KINDS["byte"], list("aé漢".encode())) == ["a", "", "é", "", "", "漢", ""]


def test_an_incomplete_character_comes_out_at_the_end() -> None:
    assert streamed(KINDS["byte"], [97, 0xE6, 0xBC]) == ["a", "", "", "\ufffd"]


def test_a_stream_can_be_used_again_after_flush() -> None:
    for tokenizer in KINDS.values():
        stream = tokenizer.stream()
        ids = list(range(tokenizer.vocab_size - 9, tokenizer.vocab_size))
        first, again = ("".join([*map(stream.push, ids), stream.flush()]) for _ in range(2))
        assert first == again == tokenizer.decode(ids)


def test_other_decoders_stream_through_a_window() -> None:
    words = ["[UNK]", "un", "##believ", "##able", "story", "!"]
    backend = Backend(models.WordPiece(vocab={word: id for id, word in enumerate(words)}, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece(cleanup=False)
    tokenizer = Tokenizer(backend, "file")
    assert streamed(tokenizer, [1, 2, 3, 4, 5]) == ["un", "believ", "able", " story", " !", ""]


def test_the_work_for_an_id_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0
    for tokenizer in KINDS.values():
        real = tokenizer.decode

        def counted(ids: list[int], real=real) -> str:
            nonlocal longest
            longest = max(longest, len(ids))
            return real(ids)

        monkeypatch.setattr(tokenizer, "decode", counted)
        streamed(tokenizer, [tokenizer.vocab_size - 1] * 200)
    assert longest <= 20
