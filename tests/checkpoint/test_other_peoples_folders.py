"""Folders that transformers opens and that are not as homespun writes them: they open, with the same logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from homespun.checkpoint.folder import load_model
from homespun.errors import CheckpointError, HomespunWarning, TokenizerError
from homespun.tokenizer.open import load as load_tokenizer
from tests.tokenizer.conftest import LEARNED_FROM, NASTY

IDS = torch.arange(24).view(2, 12) * 13 % 280


def byte_level(folder: Path, specials: tuple[str, ...] = ("<|endoftext|>",), size: int = 300) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([LEARNED_FROM], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": specials[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(backend.get_vocab())


def llama(folder: Path, **changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        **{**shape, "vocab_size": byte_level(folder), "max_position_embeddings": 64, "tie_word_embeddings": False,
           "num_key_value_heads": 2, "initializer_range": 0.3, **changes}
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model


def gpt2(folder: Path) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=byte_level(folder), n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3
    )
    model = GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    return model


def edit(folder: Path, **changes: Any) -> None:
    """Sets fields of config.json; ... takes one away."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not ...}))


def rename(folder: Path, change: Callable[[str], str]) -> None:
    weights = load_file(folder / "model.safetensors")
    renamed = {change(name): tensor.clone() for name, tensor in weights.items() if change(name)}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def assert_same(folder: Path, model: Any) -> None:
    opened, _ = load_model(folder)
    with torch.no_grad():
        assert torch.allclose(opened(IDS)[0], model(IDS).logits, atol=1e-4)


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_forward_module.", "model.", "lm.", "net._orig_mod."]
)
def test_a_prefix_of_all_names_is_taken_off(make: Any, prefix: str, tmp_path: Path) -> None:
    model = make(tmp_path)
    rename(tmp_path, lambda name: prefix + name)
    assert_same(tmp_path, model)


def test_names_of_wrappers_within_are_taken_out(tmp_path: Path) -> None:
    model = llama(tmp_path)
    rename(tmp_path, lambda name: name.replace("layers.1.", "layers.1._orig_mod.").replace("mlp.", "mlp.module."))
    assert_same(tmp_path, model)


def test_a_prefix_of_some_names_is_none(tmp_path: Path) -> None:
    llama(tmp_path)
    rename(tmp_path, lambda name: f"lm.{name}" if "embed" in name or "layers.0" in name else name)
    with pytest.raises(CheckpointError, match="is missing"):
        load_model(tmp_path)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_what_automodel_saved_opens_where_the_head_is_the_embedding(make: Any, tmp_path: Path) -> None:
    model = make(tmp_path, tie_word_embeddings=True) if make is llama else make(tmp_path)
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] in (["LlamaModel"], ["GPT2Model"])
    rename(tmp_path, lambda name: name.removeprefix("model.").removeprefix("transformer."))
    assert_same(tmp_path, model)


def test_a_missing_head_that_nothing_is_said_of_is_the_embedding(tmp_path: Path) -> None:
    model = llama(tmp_path, tie_word_embeddings=True)
    edit(tmp_path, tie_word_embeddings=...)
    with pytest.warns(HomespunWarning, match="it is the embedding"):
        assert_same(tmp_path, model)


def test_a_missing_head_that_is_said_to_be_there_is_named(tmp_path: Path) -> None:
    llama(tmp_path)
    rename(tmp_path, lambda name: "" if name.startswith("lm_head") else name)
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)
    assert "has no head" in caught.value.what and "tie_word_embeddings" in caught.value.todo


@pytest.mark.parametrize("named", [["MistralForCausalLM"], None])
def test_mistral_without_a_window_is_llama(named: Any, tmp_path: Path) -> None:
    llama(tmp_path)
    edit(
        tmp_path, model_type="mistral", architectures=named, sliding_window=None, attention_bias=..., mlp_bias=...
    )
    assert_same(tmp_path, AutoModelForCausalLM.from_pretrained(tmp_path))


@pytest.mark.parametrize("window", [16, 64, ...])
def test_mistral_attends_within_its_window(window: Any, tmp_path: Path) -> None:
    llama(tmp_path)
    edit(tmp_path, model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=window)
    opened, _ = load_model(tmp_path)
    assert (opened.config.context_length, opened.config.window) == (64, window if window == 16 else 0)
    assert_same(tmp_path, AutoModelForCausalLM.from_pretrained(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"architectures": ["LLaMAForCausalLM"]},
        {"model_type": ...},
        {"max_position_embeddings": ..., "max_sequence_length": 64},
    ],
)
def test_old_names_of_llama_are_known(changes: dict[str, Any], tmp_path: Path) -> None:
    model = llama(tmp_path)
    edit(tmp_path, **changes)
    assert_same(tmp_path, model)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_positions": ..., "n_ctx": 64},
        {"model_type": ..., "architectures": ...},
        {"n_embd": ..., "hidden_size": 32, "n_layer": ..., "num_hidden_layers": 2},
    ],
)
def test_old_names_of_gpt2_are_known(changes: dict[str, Any], tmp_path: Path) -> None:
    model = gpt2(tmp_path)
    edit(tmp_path, **changes)
    assert_same(tmp_path, model)


# ---- tokens ----


def add_token(folder: Path, id: int, content: str, *, special: bool = True) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    values["added_tokens"].append({"id": id, "content": content, "special": special, **plain})
    path.write_text(json.dumps(values))


def test_special_tokens_beyond_the_table_are_let_go_and_that_is_said(tmp_path: Path) -> None:
    model = llama(tmp_path)
    size = model.config.vocab_size
    add_token(tmp_path, size, "[PAD]")
    settings = {"eos_token": "<|endoftext|>", "pad_token": "[PAD]"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.warns(HomespunWarning, match=r"no row for \[PAD\]"):
        _, tokenizer = load_model(tmp_path)
    assert tokenizer.vocab_size == size
    assert "pad_token" not in tokenizer.settings and tokenizer.end_of_text == 0
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in NASTY[4:12]:
        assert tokenizer.encode(text) == theirs(text, split_special_tokens=True)["input_ids"]


def test_a_chat_template_that_writes_such_a_token_goes_with_it(tmp_path: Path) -> None:
    model = llama(tmp_path)
    add_token(tmp_path, model.config.vocab_size, "<|im_end|>")
    settings = {"eos_token": "<|endoftext|>", "chat_template": "{{ messages[0].content }}<|im_end|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.warns(HomespunWarning, match="and so is the chat template"):
        _, tokenizer = load_model(tmp_path)
    assert "chat_template" not in tokenizer.settings


def test_an_ordinary_token_without_a_row_is_refused(tmp_path: Path) -> None:
    model = llama(tmp_path)
    add_token(tmp_path, model.config.vocab_size, "word", special=False)
    with pytest.raises(CheckpointError, match="the tokenizer has"):
        load_model(tmp_path)


@pytest.mark.parametrize("says", ["tokenizer_config.json", "generation_config.json", "config.json"])
def test_a_token_that_ends_a_text_is_special_whatever_tokenizer_json_says(says: str, tmp_path: Path) -> None:
    model = llama(tmp_path, vocab_size=byte_level(tmp_path) + 1)
    end = model.config.vocab_size - 1
    add_token(tmp_path, end, "<|end|>", special=False)
    if says == "tokenizer_config.json":
        (tmp_path / says).write_text(json.dumps({"eos_token": "<|end|>"}))
    else:
        path = tmp_path / says
        path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [0, end]}))
    _, tokenizer = load_model(tmp_path)
    assert end in tokenizer.ends and end in tokenizer.special_tokens.values()
    assert end not in tokenizer.encode("so <|end|> it is")


def test_a_token_that_the_template_puts_after_an_answer_ends_it_whatever_tokenizer_json_says(
    tmp_path: Path,
) -> None:
    from homespun.tokenizer.chat_template import chat_tokenizer

    pytest.importorskip("jinja2")
    model = llama(tmp_path, vocab_size=byte_level(tmp_path) + 2)
    size = model.config.vocab_size
    add_token(tmp_path, size - 2, "<|end|>", special=False)
    add_token(tmp_path, size - 1, "<think>", special=False)
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>\n{% endfor %}"
    settings = {"eos_token": "<|endoftext|>", "chat_template": template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    _, tokenizer = load_model(tmp_path)
    chat = chat_tokenizer(tokenizer)
    assert chat is not None and size - 2 in chat.ends
    ids = chat.encode([{"role": "user", "content": "a <|end|> b <think>"}])
    assert ids.count(size - 2) == 1 and ids.count(size - 1) == 1  # what a user types ends no turn


def test_vocab_json_and_merges_txt_are_a_tokenizer(tmp_path: Path) -> None:
    from transformers import GPT2Tokenizer

    model = gpt2(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    ids = {**content["model"]["vocab"], **{token["content"]: token["id"] for token in content["added_tokens"]}}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    merges = "".join(f"{' '.join(pair)}\n" for pair in content["model"]["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    theirs = GPT2Tokenizer.from_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    for text in NASTY[:16]:
        assert tokenizer.encode(text) == theirs(text, split_special_tokens=True)["input_ids"]
    assert tokenizer.end_of_text_token == "<|endoftext|>"
    assert_same(tmp_path, model)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    with pytest.raises(TokenizerError, match="RobertaTokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(TokenizerError, match="which is no pair"):
        load_tokenizer(tmp_path)
