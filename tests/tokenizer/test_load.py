"""Tokenizers from files: saved ones come back, foreign ones keep what matters, wrong ones are told apart."""

from __future__ import annotations

import base64
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
from homespun.tokenizer import Tokenizer, build, load
from homespun.tokenizer.unknown import UNKNOWN


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
    "half a character": (with_model(vocab={"\ud800": 0}, unk_token=UNKNOWN), "the tokenizers library does not"),
    "two tokens with one id": (with_model(vocab={"a": 0, "b": 0}), "two of its tokens have the id 0: 'a' and 'b'"),
    "merges that lack their prefix": (
        with_model(vocab={"a": 0, "b": 1, "ab": 2}, merges=["a b"], continuing_subword_prefix="####"),
        "it merges 'a' with 'b', which does not begin with '####'",
    ),
    "words of any length": (
        with_model(type="WordPiece", unk_token="a", continuing_subword_prefix="#", max_input_chars_per_word=10**9),
        "its max_input_chars_per_word is 1,000,000,000, and at most 500 are allowed",
    ),
    "a piece of ten thousand letters": (
        with_model(type="Unigram", unk_id=0, vocab=[["a" * 10_000, 0.0]]),
        "one of its pieces has 10,000 characters, and at most 1,024 are allowed",
    ),
    "an unknown kind of model": (with_model(type="Magic"), "the tokenizers library does not accept it"),
    "added tokens that are none": (
        b'{"model": {"vocab": {"a": 0}}, "added_tokens": [1]}',
        '"added_tokens" are not',
    ),
    "a step that is none": (b'{"model": {"vocab": {"a": 0}}, "decoder": 1}', 'its "decoder" is not an object'),
}


def with_step(part: str, **step: Any) -> bytes:
    return json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, part: step}).encode()


def with_expression(expression: str) -> bytes:
    return with_step(
        "pre_tokenizer", type="Split", pattern={"Regex": expression}, behavior="Isolated", invert=False
    )


def in_sequence(part: str, name: str, *steps: dict[str, Any]) -> bytes:
    return with_step(part, type="Sequence", **{name: list(steps)})


DOUBLED = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
BETWEEN = {"type": "Replace", "pattern": {"Regex": "(?=.)"}, "content": "b"}
REPEATED = {"type": "Replace", "pattern": {"Regex": "a**"}, "content": "a"}
MARK = {"SpecialToken": {"id": "[X]", "type_id": 0}}

WRONG |= {
    "an expression that never ends": (
        with_expression("(a*)*[bx]"),
        'in its "pre_tokenizer", Split has a regular expression that may take for ever: a repeat within a repeat',
    ),
    "an expression of the third power": (with_expression(r"-*-*[xy]"), "characters it takes 0."),
    "an expression of a hundred thousand tables": (
        with_expression(r"\p{L}" * 20_000),
        "it has 20,000 classes of characters",
    ),
    "an expression deep in a sequence": (
        in_sequence("normalizer", "normalizers", {"type": "Sequence", "normalizers": [REPEATED]}),
        'in its "normalizer", Replace has a regular expression that may take for ever: a repeat of a repeat',
    ),
    "a text that grows a billionfold": (
        in_sequence("normalizer", "normalizers", *[DOUBLED] * 30),
        'its "normalizer" makes a text 1,073,741,824 times as long',
    ),
    "a text that grows between its letters": (
        in_sequence("normalizer", "normalizers", *[BETWEEN] * 9),
        'its "normalizer" makes a text 512 times as long',
    ),
    "a megabyte before every text": (
        with_step("normalizer", type="Prepend", prepend="x" * 10**6),
        'in its "normalizer", Prepend puts 1,000,000 characters into the text',
    ),
    "a thousand steps": (
        in_sequence("normalizer", "normalizers", *[{"type": "NFC"}] * 1000),
        'its "normalizer" has 1001 steps',
    ),
    "pieces of no length": (
        with_step("pre_tokenizer", type="FixedLength", length=0),
        'in its "pre_tokenizer", FixedLength has length = 0',
    ),
    "a table that says it has gigabytes": (
        with_step("normalizer", type="Precompiled", precompiled_charsmap="/////wAAAAA="),
        "Precompiled says that its table has 4,294,967,295 bytes, and 8 are there",
    ),
    "a table with a megabyte for a letter": (
        with_step(
            "normalizer", type="Precompiled",
            precompiled_charsmap=base64.b64encode(b"\x04\0\0\0" + b"\0" * 4 + b"x" * 10**6 + b"\0").decode(),
        ),
        'in its "normalizer", Precompiled puts 1,000,000 bytes into the text',
    ),
    "a mark that is not described": (
        with_step("post_processor", type="TemplateProcessing", single=[MARK], pair=[], special_tokens={}),
        "TemplateProcessing speaks of a mark '[X]' that it does not describe",
    ),
    "a mark with an id that there is not": (
        with_step(
            "post_processor", type="TemplateProcessing", single=[MARK], pair=[MARK],
            special_tokens={"[X]": {"id": "[X]", "ids": [7], "tokens": ["[X]"]}},
        ),
        "There is no token 7: this tokenizer's ids are 0 to 0",
    ),
    "a million lists": (b"[" + b"[]," * 2_000_000 + b"[]]", "it holds more values than any tokenizer has"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_told_in_words(case: str, tmp_path: Path) -> None:
    content, reason = WRONG[case]
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError) as error:
        load(path)
    assert error.value.what.startswith(f"{path} is not a tokenizer that can be used: ")
    assert reason in error.value.what
    assert len(error.value.what) < 700 + len(str(path))
    assert error.value.todo == "Get it anew from where it came from, or let homespun make one: --tokenizer bpe"


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_leaves_no_trace_on_the_terminal(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library writes one before it raises, where an assertion of its own fails: that is to be foreseen."""
    (tmp_path / "tokenizer.json").write_bytes(WRONG[case][0])
    with pytest.raises(TokenizerError):
        load(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(2**30)  # takes no space on the disk
    with pytest.raises(TokenizerError, match="it has 1,074 MB, and at most 42 MB are read"):
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
