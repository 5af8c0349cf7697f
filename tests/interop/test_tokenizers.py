"""The tokenizer of a GGUF file, against the tools that these kinds of tokenizers come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiktoken

from homespun.errors import TokenizerError
from homespun.interop.gguf.file import read_gguf
from homespun.interop.gguf.tokenizer import tokenizer_of
from homespun.interop.gguf.write_tokenizer import tokenizer_settings
from homespun.tokenizer.byte_level import token_bytes
from homespun.tokenizer.tokenizer import Tokenizer
from tests.checkpoint.models import lively, tiny
from tests.interop.files import bpe, settings_of, write_gguf

NASTY = (
    "come, let us spin a yarn!",
    "  two  spaces   and\ttabs\t\t end  ",
    "a\n\nb\r\n\r\n  c\n \n",
    "1234567890 3.14 1,000 ½ ² ٣٤٥",
    "def f(x):\n    return x**2  # code\n\n\n\tpass",
    "don't we'LL I'M she'd 'tis O'Brien",
    "naïve café Größe 漢字かな 한국어 русский עברית",
    "😀👍🏽👩‍👩‍👧 🇩🇪",
    "<|endoftext|> <|im_start|>user",
    "".join(map(chr, range(400))),
    "x" * 300 + " " * 300,
    " ",
    "\n",
)
# As tiktoken has them: cl100k's, and Qwen's own.
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
WAYS = {
    "gpt-2": GPT2,
    "llama-bpe": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST,
    "qwen2": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST,
    "dbrx": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST,
    "olmo": GPT2,
    # As o200k_base has it.
    "gpt-4o": rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+{CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*{CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def opened(path: Path, settings: dict[str, Any]) -> Tokenizer:
    return tokenizer_of(read_gguf(write_gguf(path / "tokenizer.gguf", "llama", settings, {})))


def settings(pre: str) -> dict[str, Any]:
    tokenizer = bpe()
    return settings_of(lively(tiny("llama", vocab_size=tokenizer.vocab_size)), tokenizer, pre)


@pytest.mark.parametrize("way", WAYS)
def test_words_are_cut_as_the_models_own_tokenizer_cuts_them(way: str, tmp_path: Path) -> None:
    values = settings(way)
    ranks = {token_bytes(token): id for id, token in enumerate(values["tokenizer.ggml.tokens"][:-1])}
    theirs = tiktoken.Encoding("its", pat_str=WAYS[way], mergeable_ranks=ranks, special_tokens={})
    ours = opened(tmp_path, values)
    for text in NASTY:
        assert ours.encode(text) == theirs.encode_ordinary(text), text


def test_a_mark_before_every_text_is_put_there_where_the_file_asks_for_it(tmp_path: Path) -> None:
    end = bpe().end_of_text
    values = {**settings("smollm"), "tokenizer.ggml.bos_token_id": end}
    assert opened(tmp_path, values).opening == []
    assert opened(tmp_path, {**values, "tokenizer.ggml.add_bos_token": True}).opening == [end]
    llama_3 = {**values, "tokenizer.ggml.pre": "llama-bpe"}
    assert opened(tmp_path, llama_3).opening == [end]
    assert opened(tmp_path, {**llama_3, "tokenizer.ggml.add_bos_token": False}).opening == []


def gemma_like() -> dict[str, Any]:
    """Pieces as Gemma's files have them: roles by other names, runs of spaces and lines that a user defined."""
    marks = ["<pad>", "<eos>", "<bos>", "<unk>"]
    symbols = ["\n", "\n\n", "  ", "    ", "<b>"]
    letters = ["▁", *map(chr, range(33, 127))]
    pieces = ["an", "▁an", "he", "▁t", "on", "▁tw"]
    tokens = [*marks, *symbols, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *pieces]
    scores = [0.0] * (len(tokens) - len(pieces)) + [-float(place) for place in range(len(pieces))]
    kinds = [3] * len(marks) + [4] * len(symbols) + [6] * 256 + [1] * (len(letters) + len(pieces))
    roles = {"padding": 0, "eos": 1, "bos": 2, "unknown": 3}
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        **{f"tokenizer.ggml.{role}_token_id": id for role, id in roles.items()},
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }


def test_pieces_that_a_user_defined_are_found_in_the_text_as_it_is(tmp_path: Path) -> None:
    values = gemma_like()
    tokenizer = opened(tmp_path, values)
    assert tokenizer.opening == [2] and tokenizer.ends == (1,)
    names = values["tokenizer.ggml.tokens"]
    ids = tokenizer.encode("an two  on\n\n    <b>the")
    assert [names[id] for id in ids] == ["an", "▁tw", "o", "  ", "on", "\n\n", "    ", "<b>", "t", "he"]
    assert tokenizer.decode(ids) == "an two  on\n\n    <b>the"


def test_such_a_tokenizer_is_written_as_it_was_read(tmp_path: Path) -> None:
    values = gemma_like()
    written = tokenizer_settings(opened(tmp_path, values), rows=len(values["tokenizer.ggml.tokens"]), rarest=0)
    assert written["tokenizer.ggml.tokens"] == values["tokenizer.ggml.tokens"]
    kinds = list(values["tokenizer.ggml.token_type"])
    kinds[3] = 2  # the unknown piece is called so
    assert written["tokenizer.ggml.token_type"] == kinds
    assert {name: written[name] for name in values if name.endswith(("_id", "_bos_token", "_prefix"))} == {
        name: values[name] for name in values if name.endswith(("_id", "_bos_token", "_prefix"))
    }


def test_a_token_for_bytes_that_is_missing_is_told_and_not_dropped(tmp_path: Path) -> None:
    """SmolLM2 has none for six control characters."""
    values = settings("smollm")
    tokens = values["tokenizer.ggml.tokens"]
    tokens[tokens.index("ĕ")] = "[UNUSED]"  # U+0115 stands for the byte 0x15
    with pytest.raises(TokenizerError, match=r"U\+0015"):
        opened(tmp_path, values).encode("a\x15b")


def test_a_sentencepiece_tokenizer_gives_the_ids_of_sentencepiece(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text("\n".join(text for text in NASTY[:7] for _ in range(30)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "its"), vocab_size=420, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "its.model"))
    ids = range(theirs.vocab_size())
    kinds = [
        2 if theirs.is_unknown(id) else 3 if theirs.is_control(id) else 6 if theirs.is_byte(id) else 1
        for id in ids
    ]
    values = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [theirs.id_to_piece(id) for id in ids],
        "tokenizer.ggml.scores": [float(theirs.get_score(id)) for id in ids],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": theirs.bos_id(),
        "tokenizer.ggml.eos_token_id": theirs.eos_id(),
        "tokenizer.ggml.unknown_token_id": theirs.unk_id(),
    }
    ours = opened(tmp_path, values)
    for text in NASTY:
        if "\0" not in text:
            assert ours.encode(text) == theirs.encode(text), text
    assert ours.end_of_text == theirs.eos_id()
    with pytest.raises(TokenizerError, match="scores are not one for each token"):
        opened(tmp_path, {**values, "tokenizer.ggml.scores": [1.0]})
