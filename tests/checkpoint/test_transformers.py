"""The folder is a Hugging Face folder: transformers, which shares no code with us, gives the same numbers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.checkpoint.folder import load_weights, save_model
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.tokenizer.make import build as build_tokenizer
from tests.checkpoint.models import ALPHABET, char_tokenizer, lively, random_ids, tiny

transformers = pytest.importorskip("transformers")

SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("modern", {}),
    ("modern", {"n_kv_head": 2, "tied_head": True}),
    ("modern", {"n_kv_head": 1, "head_width": 10, "n_inner": 50, "vocab_size": 97, "rotary_base": 5e5}),
    ("modern", {"n_embd": 30, "head_width": 8, "norm_eps": 1e-3}),
    ("llama", {}),
    ("llama", {"n_kv_head": 2, "tied_head": True, "norm_eps": 1e-3}),
    ("llama", {"n_kv_head": 1, "head_width": 10, "n_inner": 50, "vocab_size": 97, "rotary_base": 5e5}),
    ("qwen2", {}),
    ("qwen2", {"n_kv_head": 2, "tied_head": True, "rotary_base": 1e6}),
    ("qwen2", {"n_kv_head": 1, "head_width": 10, "n_inner": 50, "vocab_size": 97, "norm_eps": 1e-3}),
    ("gpt2", {}),
    ("gpt2", {"tied_head": False, "n_inner": 50, "vocab_size": 97, "norm_eps": 1e-3}),
    ("gpt2", {"n_head": 2, "n_layer": 3}),
]
TEXT = "come, let us spin a yarn, and another!\nwell spun."


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Whatever transformers has to say about our folders is a failure."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="transformers")
        yield
    logger.removeHandler(handler)
    assert said == []


def opened(folder: Path) -> Any:
    """The folder as transformers opens it, with no tensor missing, left over or of another shape."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    assert not any(info.values()), info
    return model.eval()


def greedy(model: Any, ids: list[int], tokens: int) -> list[int]:
    """The likeliest token, again and again."""
    stream = Engine(model).submit(Request(ids, max_tokens=tokens, sampling=Sampling(temperature=0)))
    return [*ids, *(token.id for token in stream)]


@pytest.mark.parametrize(("family", "changes"), SHAPES)
def test_transformers_gives_the_same_logits_for_our_folder(
    family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    model = lively(tiny(family, **changes))
    save_model(tmp_path, model, char_tokenizer())
    theirs = opened(tmp_path)
    ids = random_ids(model.config.vocab_size)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids)[0], atol=1e-5, rtol=0)
    assert theirs.config.eos_token_id is None and theirs.config.bos_token_id is None


STEEP = {"rope_type": "default", "rope_theta": 5e5}
FOREIGN = {
    "qwen3": ("Qwen3Config", {"num_key_value_heads": 2, "head_dim": 10, "rms_norm_eps": 1e-4}),
    "qwen3, tied": ("Qwen3Config", {"num_key_value_heads": 4, "head_dim": 8, "tie_word_embeddings": True}),
    "llama": ("LlamaConfig", {"num_key_value_heads": 1, "rope_parameters": STEEP}),
    "llama, tied": ("LlamaConfig", {"tie_word_embeddings": True, "head_dim": 12}),
    "qwen2": ("Qwen2Config", {"num_key_value_heads": 2, "rope_parameters": STEEP}),
    "qwen2, tied": ("Qwen2Config", {"num_key_value_heads": 4, "tie_word_embeddings": True, "rms_norm_eps": 1e-4}),
    "gpt2": ("GPT2Config", {}),
    "gpt2, untied": ("GPT2Config", {"n_inner": 50, "tie_word_embeddings": False}),
}


@pytest.mark.parametrize("several_files", [False, True])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_folder_of_transformers_gives_the_same_logits_here(
    kind: str, several_files: bool, tmp_path: Path
) -> None:
    name, changes = FOREIGN[kind]
    sizes = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes["max_position_embeddings"] = 24
    if name != "GPT2Config":
        sizes["intermediate_size"] = 50
    torch.manual_seed(3)
    config = getattr(transformers, name)(**{**sizes, **changes}, bos_token_id=None, eos_token_id=None)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    for weight in theirs.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB" if several_files else "5GB")
    assert (tmp_path / "model.safetensors").exists() != several_files
    ours = load_weights(tmp_path)
    ids = random_ids(97)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids)[0], theirs(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
def test_transformers_writes_the_same_text_as_greedy_decoding(family: str, tmp_path: Path) -> None:
    tokenizer = char_tokenizer(documents=2)
    model = lively(tiny(family, vocab_size=tokenizer.vocab_size))
    save_model(tmp_path, model, tokenizer, generation={"temperature": 0.8, "top_k": 5, "max_tokens": 16})
    theirs, their_tokenizer = opened(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    prompt = their_tokenizer("spin", return_tensors="pt")
    answer = theirs.generate(**prompt, do_sample=False)[0].tolist()
    ours = greedy(model, tokenizer.encode("spin"), 16)
    end = tokenizer.end_of_text
    if end in ours[4:]:  # transformers stops there
        ours = ours[: ours.index(end, 4) + 1]
    assert answer == ours
    assert their_tokenizer.decode(answer) == tokenizer.decode(ours)
    sampled = theirs.generate(**prompt)[0].tolist()  # with the folder's own settings
    assert 4 < len(sampled) <= 20


@pytest.mark.parametrize("kind", ["char", "byte", "bpe:300"])
@pytest.mark.parametrize("documents", [1, 2])
def test_transformers_gives_the_same_ids_and_the_same_text(kind: str, documents: int, tmp_path: Path) -> None:
    tokenizer = build_tokenizer(
        kind, alphabet=dict.fromkeys(ALPHABET, 1), documents=documents, pieces=lambda: iter([TEXT * 20])
    )
    save_model(tmp_path, lively(tiny("modern", vocab_size=tokenizer.vocab_size)), tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in (TEXT, "  edge spaces  ", "\n\n", "a", "don t , do !"):
        ids = tokenizer.encode(text)
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids) == text
    assert theirs.eos_token_id == tokenizer.end_of_text
    assert opened(tmp_path).config.eos_token_id == tokenizer.end_of_text


def test_bfloat16_folders_open_in_bfloat16(tmp_path: Path) -> None:
    model = lively(tiny("modern"))
    save_model(tmp_path, model, char_tokenizer(), dtype=torch.bfloat16)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.dtype == torch.bfloat16
    assert torch.equal(theirs.lm_head.weight, model.head.weight.to(torch.bfloat16))


def test_the_lectures_folder_does_not_pretend(tmp_path: Path) -> None:
    save_model(tmp_path, lively(tiny("lecture")), char_tokenizer())
    with pytest.raises(ValueError, match="homespun-lecture"):
        transformers.AutoConfig.from_pretrained(tmp_path)
    assert transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path).encode("spin") == [23, 20, 13, 18]
