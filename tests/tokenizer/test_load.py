"""Tokenizers from files: saved ones come back, foreign ones keep what matters, wrong ones are told apart."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from homespun.errors import TokenizerError, UnknownCharacter, UsageError, WriteFailed
from homespun.tokenizer.make import build
from homespun.tokenizer.open import load
from homespun.tokenizer.tokenizer import Tokenizer


@pytest.mark.parametrize("documents", [1, 2])
@pytest.mark.parametrize("spec", ["char", "byte", "bpe:280"])
def test_a_saved_tokenizer_comes_back_the_same(
    spec: str, documents: int, make: Callable[..., Tokenizer], nasty_texts: list[str], tmp_path: Path
) -> None:
    saved = make(spec, documents=documents)
    saved.save(tmp_path)
    loaded = load(tmp_path)
    for name in ("kind", "key", "vocab_size", "end_of_text", "dtype", "special_tokens", "opening"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert type(loaded) is type(saved)
    assert loaded.files() == saved.files()
    assert [loaded.encode(text) for text in nasty_texts] == [saved.encode(text) for text in nasty_texts]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]


def test_keys_differ_where_ids_do(make: Callable[..., Tokenizer]) -> None:
    specs = [make(spec, documents=n).key for spec in ("char", "byte", "bpe:280") for n in (1, 2)]
    assert len(set(specs)) == 5  # bpe has its end of text in any case
    assert make("char", text="ab").key != make("char", text="abc").key


def foreign(folder: Path, config: dict[str, Any] | None = None, **parts: Any) -> Path:
    """A tokenizer.json of another's: words, lower case, marks around a text."""
    words = {"[UNK]": 0, "to": 1, "be": 2, "or": 3, "not": 4, "[CLS]": 5, "[SEP]": 6}
    backend = Backend(models.WordLevel(vocab=words, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens([AddedToken(name, special=True) for name in ("[CLS]", "[SEP]")])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 5), ("[SEP]", 6)]
    )
    backend.enable_truncation(3)
    backend.enable_padding(length=8)
    content = {**json.loads(backend.to_str()), **parts}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder / "tokenizer.json"


def test_a_foreign_tokenizer_neither_cuts_nor_pads_nor_marks_texts(tmp_path: Path) -> None:
    tokenizer = load(foreign(tmp_path))
    assert tokenizer.kind == "file"
    assert tokenizer.encode("To be or not to be") == [1, 2, 3, 4, 1, 2]
    assert tokenizer.opening == [5]
    assert tokenizer.special_tokens == {"[CLS]": 5, "[SEP]": 6}


def test_ours_put_nothing_before_a_text(make: Callable[..., Tokenizer]) -> None:
    assert [make(spec, text="xyz", documents=2).opening for spec in ("char", "byte", "bpe:280")] == [[], [], []]


def test_for_a_new_model_the_marks_go_and_an_end_of_text_comes(tmp_path: Path) -> None:
    path = foreign(tmp_path)
    alone, several = (build(str(path), alphabet={}, documents=n, pieces=lambda: iter([])) for n in (1, 2))
    assert (alone.vocab_size, alone.end_of_text, alone.opening) == (7, None, [])
    assert (several.vocab_size, several.end_of_text, several.opening) == (8, 7, [])
    several.save(tmp_path / "run")
    assert (load(tmp_path / "run").end_of_text, load(tmp_path / "run").key) == (7, several.key)


@pytest.mark.parametrize("spec", ["char", "byte"])
def test_a_folder_of_ours_gets_an_end_of_text_where_it_needs_one(
    spec: str, make: Callable[..., Tokenizer], tmp_path: Path
) -> None:
    make(spec, text="abc").save(tmp_path)
    tokenizer = build(str(tmp_path), alphabet={}, documents=2, pieces=lambda: iter([]))
    assert tokenizer.end_of_text == tokenizer.vocab_size - 1


def test_settings_are_kept_that_do_no_harm(tmp_path: Path) -> None:
    config = {
        "eos_token": {"content": "[SEP]"},
        "pad_token": "[NOT THERE]",
        "chat_template": "{{ messages }}",
        "tokenizer_class": "LlamaTokenizer",
        "auto_map": {"AutoTokenizer": "code.py"},
    }
    tokenizer = load(foreign(tmp_path, config))
    assert tokenizer.end_of_text == 6
    assert tokenizer.settings == {"eos_token": "[SEP]", "chat_template": "{{ messages }}"}
    saved = json.loads(tokenizer.files()["tokenizer_config.json"])
    assert (saved["tokenizer_class"], saved["split_special_tokens"]) == ("PreTrainedTokenizerFast", False)
    assert "auto_map" not in saved


def test_random_merges_are_switched_off(make: Callable[..., Tokenizer], tmp_path: Path) -> None:
    make("bpe:280").save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["dropout"] = 0.9
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert load(tmp_path).encode("to be or not to be") == make("bpe:280").encode("to be or not to be")


def test_a_foreign_model_does_not_drop_characters_in_silence(tmp_path: Path) -> None:
    content = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = load(tmp_path)
    assert tokenizer.encode("abab") == [2, 2]
    with pytest.raises(UnknownCharacter, match=r"'é' \(U\+00E9.* at line 1, column 3 is not among the characters"):
        tokenizer.encode("abéb")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="There is no tokenizer at"):
        load(tmp_path / "nothing.json")
    with pytest.raises(TokenizerError, match=r"neither tokenizer.json nor tokenizer.model is there"):
        load(tmp_path)


@pytest.mark.parametrize("spec", ["bep", "bpe:", "bpe:many", "bpe:-5", "char:7", ""])
def test_a_misspelt_kind_gets_the_list_of_kinds(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        build(spec, alphabet={"a": 1}, documents=1, pieces=lambda: iter(["a"]))
    assert f"There is no tokenizer called {spec!r}" in str(error.value)
    assert "Choose auto, char, byte, bpe, bpe:N (N ids), gpt2, or the path" in str(error.value)


def test_auto_builds_what_is_chosen(make: Callable[..., Tokenizer]) -> None:
    assert make("auto", text="to be or not to be").kind == "char"


def test_a_folder_that_cannot_be_written_is_said(make: Callable[..., Tokenizer], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteFailed, match="The tokenizer could not be written to"):
        make("byte").save(tmp_path / "file")
    (tmp_path / "tokenizer.json").mkdir()
    with pytest.raises(WriteFailed):
        make("byte").save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tokenizer.json"]


class PanicException(BaseException):
    """What a failed assertion of the library's Rust code arrives as: no Exception."""


@pytest.mark.parametrize("failure", [PanicException("index out of bounds"), Exception("index out of bounds")])
@pytest.mark.parametrize(
    ("doing", "does"), [("encode the text", "encode_batch_fast"), ("decode these ids", "decode")]
)
def test_a_tokenizer_that_fails_only_in_use_is_told_as_well(
    failure: BaseException, doing: str, does: str, tmp_path: Path
) -> None:
    def fail(*arguments: Any, **settings: Any) -> None:
        raise failure

    tokenizer = load(foreign(tmp_path))
    tokenizer._backend = SimpleNamespace(**{does: fail})
    with pytest.raises(TokenizerError) as error:
        tokenizer.encode("to be") if doing == "encode the text" else tokenizer.decode([1, 2])
    assert str(error.value) == (
        f"This tokenizer could not {doing}: index out of bounds\n"
        "Its tokenizer.json may be damaged; another one, or --tokenizer bpe, would do."
    )


def test_an_interruption_is_not_taken_for_a_failure_of_the_tokenizer(tmp_path: Path) -> None:
    def interrupted(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    tokenizer = load(foreign(tmp_path))
    tokenizer._backend = SimpleNamespace(encode_batch_fast=interrupted)
    with pytest.raises(KeyboardInterrupt):
        tokenizer.encode("to be")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", {"tokenizer_file": "../../secret", "vocab_file": "/etc/passwd"}),
        ("tokenizer_config.json", {"chat_template": "{% include '/etc/passwd' %}"}),
        (
            "tokenizer_config.json",
            {"auto_map": {"AutoTokenizer": ["../secret.py--x", None]}},
        ),
        ("special_tokens_map.json", {"eos_token": "../../secret"}),
    ],
)
def test_no_file_is_opened_because_another_names_it(name: str, content: dict[str, Any], tmp_path: Path) -> None:
    foreign(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    opened = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    tokenizer = load(tmp_path)
    assert tokenizer.encode("to be") == [1, 2]
    strange = [
        path for path in opened if not path.startswith(str(tmp_path)) and not path.endswith((".py", ".pyc"))
    ]
    assert not [path for path in strange if "passwd" in path or "secret" in path]
    assert {Path(path).name for path in opened if path.startswith(str(tmp_path))} <= {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "tokenizer.model"]
)
def test_a_pipe_or_a_device_is_not_waited_for(name: str, tmp_path: Path) -> None:
    foreign(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    refused_or_left_aside(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    refused_or_left_aside(tmp_path)


def refused_or_left_aside(folder: Path) -> None:
    try:
        assert load(folder).encode("to be") == [1, 2]
    except TokenizerError as error:
        assert "has no tokenizer" in error.what


@pytest.mark.parametrize("affix", ["continuing_subword_prefix", "end_of_word_suffix"])
@pytest.mark.parametrize("spec", ["char", "byte"])
def test_a_tokenizer_that_looks_like_ours_and_is_not_is_no_tokenizer_of_ours(
    spec: str, affix: str, make: Callable[..., Tokenizer], tmp_path: Path
) -> None:
    """Its characters have other names inside a word, so that it knows none of them there."""
    make(spec, text="abc").save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"][affix] = "#"
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    (tmp_path / "tokenizer_config.json").unlink()
    assert load(tmp_path).kind == "file"


def test_a_link_that_points_to_nothing_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").symlink_to(tmp_path / "gone.json")
    with pytest.raises(UsageError, match="is a symbolic link") as caught:
        build(str(tmp_path / "tokenizer.json"), alphabet={"a": 1}, documents=1, pieces=lambda: iter(["a"]))
    assert str(tmp_path / "gone.json") in caught.value.what
