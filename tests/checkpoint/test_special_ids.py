"""What a folder states of the ids with a role is read, followed, and stated again by what is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.checkpoint.adapter import Base, Change, modules_of, write_adapter
from homespun.checkpoint.folder import load_model, save_model
from homespun.generation.text import generate_pieces
from homespun.interop.adapter import fingerprint
from homespun.interop.open import open_model
from homespun.model.gpt import GPT
from homespun.tokenizer.chat_marks import with_chat_template
from homespun.tokenizer.make import build as build_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer
from tests.checkpoint.models import char_tokenizer, lively, tiny

MARKS = ("<|other|>", "<|begin|>", "<|end|>", "<|turn|>", "<|pad|>")


def foreign(
    folder: Path, config: dict[str, Any], generation: dict[str, Any] | None, family: str = "llama"
) -> Path:
    """A folder as others write it: a tokenizer with marks (begin to pad: 32 to 35), and configs with these ids."""
    import torch

    tokenizer = char_tokenizer().with_special_tokens(MARKS, end_of_text="<|end|>")
    model = lively(tiny(family, vocab_size=tokenizer.vocab_size))
    with torch.no_grad():
        model.head.weight[33:].zero_()  # it never thinks of a mark itself
    save_model(folder, model, tokenizer)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    (folder / "generation_config.json").unlink()
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def stated(folder: Path, name: str = "generation_config.json") -> dict[str, Any]:
    said = json.loads((folder / name).read_text())
    return {role: said.get(f"{role}_token_id") for role in ("bos", "eos", "pad")}


def finish_reason(model: Any, tokenizer: Tokenizer, only: int) -> tuple[str, str | None]:
    pieces = generate_pieces(model, tokenizer, "spin", max_tokens=5, logit_bias={only: 1e4})
    return "".join(pieces), pieces.finish_reason


@pytest.mark.parametrize("id", [33, 34])
@pytest.mark.parametrize("where", ["config", "generation"])
def test_a_text_ends_at_every_end_that_either_config_names(where: str, id: int, tmp_path: Path) -> None:
    several = {"eos_token_id": [33, 34]}
    foreign(tmp_path, several if where == "config" else {}, several if where == "generation" else None)
    assert finish_reason(*load_model(tmp_path), id) == ("", "stop")


def test_a_mark_that_ends_nothing_is_written(tmp_path: Path) -> None:
    foreign(tmp_path, {"eos_token_id": [33, 34]}, None)
    assert finish_reason(*load_model(tmp_path), 35) == ("<|pad|>" * 5, "length")


def test_what_the_two_configs_state_is_kept_apart_and_written_again(tmp_path: Path) -> None:
    """As Qwen's instruct models have it: one end in config.json, two beside, and a bos that is no end."""
    foreign(
        tmp_path / "in",
        {"bos_token_id": 32, "eos_token_id": 34},
        {"bos_token_id": 32, "eos_token_id": [34, 33], "pad_token_id": 35},
    )
    save_model(tmp_path / "out", *load_model(tmp_path / "in"))
    assert stated(tmp_path / "out", "config.json") == {"bos": 32, "eos": 34, "pad": None}
    assert stated(tmp_path / "out") == {"bos": 32, "eos": [34, 33], "pad": 35}


def test_nothing_is_made_up_where_a_folder_states_nothing(tmp_path: Path) -> None:
    foreign(tmp_path / "in", {"bos_token_id": None, "eos_token_id": None}, None)
    save_model(tmp_path / "out", *load_model(tmp_path / "in"))
    assert stated(tmp_path / "out", "config.json") == {
        "bos": None,
        "eos": 33,
        "pad": None,
    }  # the tokenizer says it
    assert stated(tmp_path / "out") == {"bos": None, "eos": 33, "pad": None}


@pytest.mark.parametrize(
    ("model_type", "family", "ids"), [("llama", "llama", (1, 2)), ("gpt2", "gpt2", (50256, 50256))]
)
def test_what_transformers_writes_for_whoever_says_nothing_ends_no_text_at_a_letter(
    model_type: str, family: str, ids: tuple[int, int], tmp_path: Path
) -> None:
    unset = {"bos_token_id": ids[0], "eos_token_id": ids[1]}
    foreign(tmp_path / "in", unset, {**unset, "_from_model_config": True}, family)
    model, tokenizer = load_model(tmp_path / "in")
    assert tokenizer.ends == (33,)
    save_model(tmp_path / "out", model, tokenizer)
    assert stated(tmp_path / "out", "config.json") == {"bos": None, "eos": 33, "pad": None}


def test_an_ordinary_token_that_somebody_names_as_an_end_is_one(tmp_path: Path) -> None:
    foreign(tmp_path, {"eos_token_id": [33, 0]}, None)  # a new line
    assert finish_reason(*load_model(tmp_path), 0) == ("", "stop")


@pytest.mark.parametrize("id", [-1, 36, 10**12, True, "33", None, {}, [[33]], 3.0, [-1, 99]])
def test_what_is_no_id_of_the_model_is_passed_over(id: Any, tmp_path: Path) -> None:
    foreign(tmp_path, {"eos_token_id": id, "pad_token_id": id}, {"eos_token_id": id, "bos_token_id": id})
    _, tokenizer = load_model(tmp_path)
    assert tokenizer.ends == (33,)


def test_a_damaged_generation_config_states_nothing(tmp_path: Path) -> None:
    foreign(tmp_path, {"eos_token_id": [33, 34]}, None)
    (tmp_path / "generation_config.json").write_text("{")
    assert load_model(tmp_path)[1].ends == (33, 34)


def test_of_a_new_model_its_folder_states_what_it_always_did(tmp_path: Path) -> None:
    tokenizer = char_tokenizer(documents=2)
    save_model(tmp_path, lively(tiny("modern", vocab_size=tokenizer.vocab_size)), tokenizer)
    end = tokenizer.end_of_text
    assert stated(tmp_path, "config.json") == {"bos": end, "eos": end, "pad": None}
    assert stated(tmp_path) == {"bos": end, "eos": end, "pad": end}


@pytest.mark.parametrize("kind", ["char", "byte", "bpe:300"])
def test_marks_that_are_added_end_a_text_too_and_take_no_end_away(kind: str, tmp_path: Path) -> None:
    text = "A cat sees the moon. " * 20
    made = build_tokenizer(kind, alphabet=dict.fromkeys(text, 1), documents=2, pieces=lambda: iter([text]))
    save_model(tmp_path, lively(tiny("modern", vocab_size=made.vocab_size)), made)
    base = load_model(tmp_path)[1]
    grown = with_chat_template(base)
    assert grown.ends == (grown.special_tokens["<|im_end|>"], base.end_of_text)
    assert grown.special_ids.config.bos == base.end_of_text


def adapter_of(folder: Path, out: Path) -> Path:
    import torch

    model, tokenizer = load_model(folder)
    assert isinstance(model, GPT)
    sizes = {name: weight.shape for name, weight in model.named_parameters()}
    changes = {
        name: Change(torch.zeros(2, sizes[name][1]), torch.zeros(sizes[name][0], 2), 1.0)
        for tensor in modules_of(model.config).values()
        for name in tensor.parts
    }
    base = Base(str(folder), fingerprint=fingerprint(folder))
    write_adapter(out, model.config, changes, tokenizer, base=base, rank=2, alpha=2.0)
    return out


def test_an_adapter_says_the_ends_of_its_base(tmp_path: Path) -> None:
    ends = {"bos_token_id": 32, "eos_token_id": [33, 34], "pad_token_id": 35}
    base = foreign(tmp_path / "base", ends, ends)
    adapter = adapter_of(base, tmp_path / "adapter")
    assert stated(adapter) == {"bos": 32, "eos": [33, 34], "pad": 35}
    model, tokenizer, _ = open_model(adapter)
    assert finish_reason(model, tokenizer, 34) == ("", "stop")
    save_model(tmp_path / "merged", model, tokenizer)
    assert stated(tmp_path / "merged", "config.json") == {"bos": 32, "eos": [33, 34], "pad": 35}


def test_an_adapter_of_somebody_else_takes_the_ends_from_its_base(tmp_path: Path) -> None:
    base = foreign(tmp_path / "base", {"eos_token_id": [33, 34]}, None)
    adapter = adapter_of(base, tmp_path / "adapter")
    (adapter / "generation_config.json").unlink()  # peft writes none
    assert open_model(adapter)[1].ends == (33, 34)
    (adapter / "tokenizer.json").unlink()  # nor has it to write a tokenizer
    assert open_model(adapter)[1].ends == (33, 34)
