"""What leaves is the model: a GGUF file and a plain folder give the same numbers and ids when opened again."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from homespun.checkpoint.folder import load_model
from homespun.errors import CheckpointError, ModelError, TokenizerError, UsageError, WriteFailed
from homespun.interop import export as exporting
from homespun.interop.export import Exported, Leaving, export_gguf, export_merged
from homespun.interop.gguf.file import read_gguf
from homespun.interop.gguf.load import load_gguf
from homespun.interop.gguf.write import QUANTIZATIONS, type_of, write_gguf
from homespun.interop.gguf.write_tokenizer import tokenizer_settings
from homespun.interop.origin import Origin
from homespun.model.config import GPTConfig
from homespun.tokenizer.make import build as build_tokenizer
from homespun.tokenizer.open import load as load_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer
from tests.checkpoint.models import lively, tiny
from tests.interop.files import TEMPLATE, TEXT, foreign_tensors, gguf_of
from tests.interop.test_gguf import SHAPES

# Two, three and four bytes a character; marks that join with what stands before; characters without a glyph.
ALPHABET = "abcXYZ 0123456789.,!?'\"\n\tяюёЖñé€ß½٣漢字かな한😀👍🏽\u200d\u00a0\ufeff\x00¬ÀÁ"


def tokenizer_of(kind: str, documents: int = 1, alphabet: str = ALPHABET) -> Tokenizer:
    pieces = [alphabet * 20 + TEXT]
    return build_tokenizer(
        kind, alphabet=dict.fromkeys(alphabet, 1), documents=documents, pieces=lambda: iter(pieces)
    )


def leaving(tokenizer: Tokenizer, family: str = "modern", **changes: Any) -> Leaving:
    config = GPTConfig.of(
        family, vocab_size=tokenizer.vocab_size, context_length=32, n_layer=2, n_head=4, n_embd=64, **changes
    )
    return Leaving(lively(config), tokenizer, Origin("mine", license="mit"), [TEXT[:400]])


def exported(model: Leaving, out: Path, quantize: str = "f32", **options: Any) -> Exported:
    return export_gguf(model, out, quantize=quantize, **{"force": False, "ask_llama_cpp": False, **options})


@pytest.mark.parametrize(("family", "changes"), SHAPES)
def test_a_file_in_float32_is_the_model_to_the_bit(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bpe:300")
    model = lively(tiny(family, vocab_size=tokenizer.vocab_size, **changes))
    exported(Leaving(model, tokenizer, Origin("mine"), ["spin"]), tmp_path / "model.gguf")
    opened, _ = load_gguf(tmp_path / "model.gguf")
    assert opened.config == model.config.with_(dropout=0.0)
    own = model.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in opened.state_dict().items())


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
def test_the_tensors_are_those_of_a_file_written_by_hand(family: str, tmp_path: Path) -> None:
    model = leaving(tokenizer_of("bpe:300"), family, **({} if family == "gpt2" else {"n_kv_head": 2}))
    exported(model, tmp_path / "model.gguf")
    how_to_fetch = foreign_tensors(model.model)
    found = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert found.keys() == how_to_fetch.keys()
    for name, expected in how_to_fetch.items():
        assert (found[name].reshape(expected.shape) == expected).all(), name


@pytest.mark.parametrize("documents", [1, 2])
@pytest.mark.parametrize("alphabet", [ALPHABET, "ab \n", "ACGT", "я", "".join(map(chr, range(1, 3000)))])
def test_characters_come_back_as_characters(alphabet: str, documents: int, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char", documents, alphabet)
    exported(leaving(tokenizer), tmp_path / "model.gguf")
    _, back = load_gguf(tmp_path / "model.gguf")
    assert type(back) is type(tokenizer)
    assert back.kind == "char"
    assert back.key == tokenizer.key
    assert back.end_of_text == tokenizer.end_of_text
    dice = random.Random(1)
    for _ in range(20):
        text = "".join(dice.choices(alphabet, k=40))
        assert back.encode(text) == tokenizer.encode(text)
        assert back.decode(back.encode(text)) == text


@pytest.mark.parametrize(("kind", "documents"), [("byte", 1), ("byte", 2), ("bpe:300", 1), ("bpe:400", 2)])
def test_bytes_and_pairs_come_back_with_the_same_ids(kind: str, documents: int, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(kind, documents)
    exported(leaving(tokenizer), tmp_path / "model.gguf")
    _, back = load_gguf(tmp_path / "model.gguf")
    assert back.end_of_text == tokenizer.end_of_text
    assert back.vocab_size == tokenizer.vocab_size
    for text in (TEXT, ALPHABET, "  two  spaces\r\n\n", "12345 don't", "<|endoftext|>"):
        assert back.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("way", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_a_tokenizer_from_elsewhere_leaves_under_the_name_it_came_with(way: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bpe:300")
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size))
    came = gguf_of(tmp_path / "came.gguf", model, tokenizer, **{"tokenizer__ggml__pre": way})
    opened, its = load_gguf(came)
    exported(Leaving(opened, its, Origin("mine"), []), tmp_path / "left.gguf")
    left = read_gguf(tmp_path / "left.gguf").settings
    assert left["tokenizer.ggml.pre"] == way
    for name in ("tokens", "token_type", "merges", "eos_token_id"):
        assert left[f"tokenizer.ggml.{name}"] == read_gguf(came).settings[f"tokenizer.ggml.{name}"], name
    assert left["tokenizer.chat_template"] == TEMPLATE


def test_pieces_of_sentencepiece_leave_with_scores_that_join_them_alike(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text("\n".join([TEXT, "  two  spaces", "naïve 漢字", "x = 12345"] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "its"), vocab_size=330, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    tokenizer = load_tokenizer(tmp_path / "its.model")
    out = tmp_path / "out" / "model.gguf"
    done = exported(leaving(tokenizer, "llama"), out, ask_llama_cpp=True)
    assert all(check.texts > 10 for check in done.checks)
    assert read_gguf(out).settings["tokenizer.ggml.model"] == "llama"
    assert load_gguf(out)[1].end_of_text == tokenizer.end_of_text


def test_more_rows_than_tokens_are_filled_up_and_never_read_as_tokens(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bpe:300")
    model = lively(tiny("modern", vocab_size=tokenizer.vocab_size + 20))
    exported(Leaving(model, tokenizer, Origin("mine"), []), tmp_path / "model.gguf")
    opened, back = load_gguf(tmp_path / "model.gguf")
    assert opened.config.vocab_size == 320
    assert back.vocab_size == 300
    assert read_gguf(tmp_path / "model.gguf").settings["tokenizer.ggml.tokens"][319] == "[PAD319]"


def test_without_an_end_of_text_a_token_that_is_never_meant_stands_in_for_it(tmp_path: Path) -> None:
    """llama.cpp would take token 11."""
    settings = tokenizer_settings(tokenizer_of("byte"), rows=256, rarest=7)
    assert settings["tokenizer.ggml.eos_token_id"] == 255  # no text in UTF-8 has that byte
    characters = tokenizer_of("char")
    assert tokenizer_settings(characters, rows=characters.vocab_size, rarest=7)["tokenizer.ggml.eos_token_id"] == 7
    few = tokenizer_of("char", alphabet="ACGT")
    assert "tokenizer.ggml.eos_token_id" not in tokenizer_settings(few, rows=4, rarest=2)
    done = exported(leaving(characters), tmp_path / "model.gguf")
    assert any("no token that ends a text" in note for note in done.notes)


def test_what_ollama_does_not_see_is_said(tmp_path: Path) -> None:
    def notes(family: str, alphabet: str) -> str:
        model = leaving(tokenizer_of("char", alphabet=alphabet), family)
        return " ".join(exported(model, tmp_path / "model.gguf", force=True).notes)

    assert "does not see 2 of the characters" in notes("modern", "abя漢😀")
    assert "Ollama" not in notes("llama", "abя漢😀")
    assert "Ollama" not in notes("modern", "abяé")


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
def test_every_precision_is_read_back_close_enough(quantize: str, tmp_path: Path) -> None:
    model = leaving(tokenizer_of("bpe:300"), "llama")
    soft = {name: tensor / 4 for name, tensor in model.model.state_dict().items() if "norm" not in name}
    model.model.load_state_dict(soft, strict=False)
    done = exported(model, tmp_path / "model.gguf", quantize)
    file = read_gguf(tmp_path / "model.gguf")
    assert file.settings["general.file_type"] == QUANTIZATIONS[quantize][1]
    assert file.tensors["blk.0.ffn_up.weight"].type == QUANTIZATIONS[quantize][0]
    assert file.tensors["output_norm.weight"].type == "F32"
    (check,) = done.checks
    assert check.cost is not None
    assert (check.difference.largest == 0) == (quantize == "f32")
    assert check.cost.tokens > 100


def test_it_is_said_where_few_bits_could_not_be_had(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    narrow = lively(tiny("modern", vocab_size=tokenizer.vocab_size, n_embd=40, n_inner=40))
    done = exported(Leaving(narrow, tokenizer, Origin("mine"), [TEXT[:99]]), tmp_path / "model.gguf", "q8_0")
    assert any("multiple of 32" in note for note in done.notes)
    done = exported(leaving(tokenizer), tmp_path / "other.gguf", "q8_0")
    assert not any("multiple of 32" in note for note in done.notes)


def test_rows_that_blocks_do_not_fill_stay_whole() -> None:
    assert type_of("blk.0.ffn_up.weight", (64, 48), "Q8_0", tied_head=False) == "F16"
    assert type_of("token_embd.weight", (64, 64), "Q4_0", tied_head=True) == "Q8_0"
    assert type_of("token_embd.weight", (64, 64), "Q4_0", tied_head=False) == "Q4_0"
    assert type_of("position_embd.weight", (64, 64), "Q4_0", tied_head=True) == "F32"


def test_where_it_comes_from_and_how_to_sample_go_along(tmp_path: Path) -> None:
    origin = Origin(
        "my model", license="cc0", sampling={"temperature": 0.7, "top_k": 40}, general={"general.license": "cc0"}
    )
    exported(replace(leaving(tokenizer_of("char")), origin=origin), tmp_path / "model.gguf")
    settings = read_gguf(tmp_path / "model.gguf").settings
    assert settings["general.name"] == "my model"
    assert settings["general.license"] == "cc0"
    assert settings["general.sampling.temp"] == pytest.approx(0.7)
    assert settings["general.sampling.top_k"] == 40
    said = (tmp_path / "model.Modelfile").read_text()
    assert said.startswith("FROM ./model.gguf\n")
    assert "PARAMETER temperature 0.7\n" in said
    assert "PARAMETER num_ctx 32\n" in said
    assert "{{ .Prompt }}" in said


@pytest.mark.parametrize("family", ["lecture", "bigram"])
def test_what_llama_cpp_does_not_have_is_refused_by_name(family: str, tmp_path: Path) -> None:
    model = lively(tiny(family))
    with pytest.raises(ModelError, match=f"no model like {family}"):
        write_gguf(tmp_path / "model.gguf", model, {}, {}, "f32")
    odd = lively(
        GPTConfig.of("modern", vocab_size=9, context_length=8, n_layer=1, n_head=1, n_embd=4, qk_norm=False)
    )
    with pytest.raises(ModelError, match="qk_norm"):
        write_gguf(tmp_path / "model.gguf", odd, {}, {}, "f32")
    assert not list(tmp_path.iterdir())


def changed(tokenizer: Tokenizer, folder: Path, change: Any) -> Tokenizer:
    """The tokenizer after its tokenizer.json was edited."""
    tokenizer.save(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return load_tokenizer(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.update(normalizer={"type": "Lowercase"}), "Lowercase"),
        (lambda content: content.update(pre_tokenizer={"type": "Whitespace"}), "cuts a text into words"),
        (
            lambda content: content["added_tokens"].append(
                {"id": 300, "content": "[x]", "special": False, "lstrip": True, "rstrip": False}
                | {"single_word": False, "normalized": False}
            ),
            "lstrip",
        ),
    ],
)
def test_a_tokenizer_that_llama_cpp_does_not_have_is_refused(change: Any, reason: str, tmp_path: Path) -> None:
    tokenizer = changed(tokenizer_of("bpe:300"), tmp_path, change)
    with pytest.raises(TokenizerError, match=reason):
        tokenizer_settings(tokenizer, rows=tokenizer.vocab_size, rarest=0)


def test_an_export_that_is_not_the_model_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_order(rows: torch.Tensor, name: str, config: GPTConfig) -> torch.Tensor:
        return rows.detach()

    monkeypatch.setattr("homespun.interop.gguf.write.in_file_order", wrong_order)
    with pytest.raises(CheckpointError, match="The export is not the model, so nothing was written"):
        exported(leaving(tokenizer_of("char"), "llama"), tmp_path / "there" / "model.gguf")
    assert not list(tmp_path.iterdir())


def test_an_export_with_other_ids_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmerged(*arguments: Any, **options: Any) -> dict[str, Any]:
        settings = tokenizer_settings(*arguments, **options)
        return {**settings, "tokenizer.ggml.merges": settings["tokenizer.ggml.merges"][:5]}

    monkeypatch.setattr(exporting, "tokenizer_settings", unmerged)
    with pytest.raises(CheckpointError, match="homespun makes other ids"):
        exported(leaving(tokenizer_of("bpe:300")), tmp_path / "model.gguf")
    assert not list(tmp_path.iterdir())


def test_what_is_there_already_stays_unless_forced(tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    model = leaving(tokenizer_of("char"))
    out.write_text("mine")
    with pytest.raises(UsageError, match=r"model\.gguf is there already"):
        exported(model, out)
    assert out.read_text() == "mine"
    exported(model, out, force=True)
    assert load_gguf(out)[1].kind == "char"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.Modelfile", "model.gguf"]
    with pytest.raises(UsageError, match="is there already"):
        export_merged(model, out, dtype=torch.float32, force=False)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_gguf", full)
    with pytest.raises(WriteFailed, match="The disk is full"):
        exported(leaving(tokenizer_of("char")), tmp_path / "there" / "model.gguf")
    assert not list(tmp_path.iterdir())


def test_a_weight_too_large_for_float16_is_told(tmp_path: Path) -> None:
    model = leaving(tokenizer_of("char"))
    with torch.no_grad():
        model.model.token_embedding.weight[0, 0] = 1e5
    with pytest.raises(ModelError, match=r"token_embd.weight is 100,000, and float16 ends at 65,504"):
        exported(model, tmp_path / "model.gguf", "f16")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["modern", "llama", "gpt2", "lecture"])
def test_a_merged_folder_is_the_model(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char", 2)
    tokenizer.settings["chat_template"] = TEMPLATE
    model = leaving(tokenizer, family)
    soft = {name: tensor / 4 for name, tensor in model.model.state_dict().items() if "norm" not in name}
    model.model.load_state_dict(soft, strict=False)
    done = export_merged(model, tmp_path / "folder", dtype=dtype, force=False)
    opened, back = load_model(tmp_path / "folder")
    assert next(opened.parameters()).dtype == dtype
    assert back.encode(ALPHABET) == tokenizer.encode(ALPHABET)
    assert back.settings["chat_template"] == TEMPLATE
    assert {path.name for path in done.files} == {path.name for path in (tmp_path / "folder").iterdir()}
    card = (tmp_path / "folder" / "README.md").read_text()
    assert "license: mit" in card
    assert "exported with homespun from mine" in card


def test_transformers_opens_a_merged_folder_with_the_same_logits(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = leaving(tokenizer_of("bpe:300"), "llama", n_kv_head=2)
    export_merged(model, tmp_path / "folder", dtype=torch.float32, force=False)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "folder").eval()
    ids = torch.tensor([model.tokenizer.encode(TEXT)[:32]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model.model(ids)[0], atol=1e-3, rtol=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert tokenizer(ALPHABET, add_special_tokens=False).input_ids == model.tokenizer.encode(ALPHABET)


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_a_metaspace_tokenizer_goes_into_a_gguf_file(scheme: str, tmp_path: Path) -> None:
    """As newer files have it instead of a normalizer that puts a space before the text."""
    import json

    import homespun
    from homespun.interop.gguf.file import read_gguf
    from tests.checkpoint.test_other_peoples_folders import llama
    from tests.interop.test_import import tokenizer_bin

    tokenizer_bin(tmp_path)
    folder = tmp_path / "model"
    llama(folder, vocab_size=300, bos_token_id=1, eos_token_id=2)
    from homespun.tokenizer.sentencepiece import load_sentencepiece

    content = json.loads(load_sentencepiece(tmp_path / "spm.model", opens=True).files()["tokenizer.json"])
    content |= {"normalizer": None}
    content["pre_tokenizer"] = {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False
    }  # fmt: skip
    if scheme == "never":
        content["decoder"]["decoders"].pop()
    (folder / "tokenizer.json").write_text(json.dumps(content))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    exported = homespun.export(folder, to="gguf", out=tmp_path / "model.gguf", llama_cpp=False)
    assert read_gguf(exported.out).settings["tokenizer.ggml.add_space_prefix"] is (scheme != "never")
    assert any("begins with a space" in note for note in exported.notes) is (scheme != "never")
    ours, theirs = homespun.load(folder).tokenizer, homespun.load(exported.out).tokenizer
    assert ours.encode("Hello there!  How") == theirs.encode("Hello there!  How")
    assert theirs.opening == [1]
