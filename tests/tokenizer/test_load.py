"""Tokenizers from files: saved ones come back, foreign ones keep what matters, wrong ones are told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from homespun.errors import TokenizerError, UnknownCharacter, UsageError, WriteFailed
from homespun.tokenizer import Tokenizer, build, load


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


def with_model(**model: Any) -> bytes:
    return json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], **model}}).encode()


WRONG = {
    "empty": (b"", "it is not JSON"),
    "cut off": (with_model()[:-5], "it is not JSON"),
    "not text": (b"\xff\xfe\x00", "it is not JSON"),
    "deep": (b"[" * 200_000, "it is not JSON"),
    "a long number": (b"1" * 10_000, "it is not JSON"),
    "a list": (b"[1]", "it is a JSON list, not an object"),
    "no model": (b"{}", 'it has no "model" with a "vocab"'),
    "a model that is a list": (b'{"model": []}', 'it has no "model" with a "vocab"'),
    "no vocabulary": (with_model(vocab={}), "its vocabulary is empty"),
    "a vocabulary of another kind": (with_model(vocab=7), 'its "vocab" is neither an object nor a list'),
    "a list for a bpe": (with_model(vocab=[["a", 0.0]]), 'its "vocab" is not what a model of type BPE has'),
    "a score that is none": (with_model(type="Unigram", vocab=[["a"]]), "entry 0 of its vocabulary"),
    "a negative id": (with_model(vocab={"a": -1}), "one of its ids is -1"),
    "a broken id": (with_model(vocab={"a": 0.5}), "one of its ids is 0.5"),
    "an id that is true": (with_model(vocab={"a": True}), "one of its ids is True"),
    "an id that is text": (with_model(vocab={"a": "0"}), "one of its ids is '0'"),
    "ids with holes": (
        with_model(vocab={"a": 0, "b": 900}),
        "it has 2 ids, but the highest is 900: most are missing",
    ),
    "a huge id": (with_model(vocab={"a": 4_000_000_000}), "its highest id is 4,000,000,000"),
    "merges of nothing": (with_model(merges=["x y"]), "the tokenizers library does not accept it"),
    "an unknown kind of model": (with_model(type="Magic"), "the tokenizers library does not accept it"),
    "added tokens that are none": (
        b'{"model": {"vocab": {"a": 0}}, "added_tokens": [1]}',
        '"added_tokens" are not',
    ),
    "a step that is none": (b'{"model": {"vocab": {"a": 0}}, "decoder": 1}', 'its "decoder" is not an object'),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_told_in_words(case: str, tmp_path: Path) -> None:
    content, reason = WRONG[case]
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError) as error:
        load(path)
    assert error.value.what.startswith(f"{path} is not a tokenizer that can be used: ")
    assert reason in error.value.what
    assert error.value.todo == "Get it anew from where it came from, or let homespun make one: --tokenizer bpe"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(2**30)  # takes no space on the disk
    with pytest.raises(TokenizerError, match="it has 1,074 MB, and at most 67 MB are read"):
        load(path)


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
