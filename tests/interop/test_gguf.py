"""A GGUF file opens as the model that it was made of: the same numbers, the same ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

import homespun
from homespun.checkpoint.folder import load_model, save_model
from homespun.interop.gguf.blocks import PLAIN_BLOCKS, floats, from_library
from homespun.interop.gguf.file import TENSOR_TYPES, read_gguf
from homespun.interop.gguf.load import load_gguf
from homespun.interop.gguf.weights import read_tensor
from tests.checkpoint.models import lively, random_ids, tiny
from tests.interop.files import TEMPLATE, TEXT, bpe, foreign_tensors, gguf_of, settings_of, write_gguf

SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("modern", {}),
    ("modern", {"n_kv_head": 2, "tied_head": True, "head_width": 10, "rotary_base": 5e5}),
    ("llama", {}),
    ("llama", {"n_kv_head": 2, "tied_head": True, "norm_eps": 1e-6}),
    ("llama", {"n_kv_head": 1, "head_width": 12, "n_inner": 64, "rotary_base": 1e5}),
    ("qwen2", {}),
    ("qwen2", {"n_kv_head": 2, "tied_head": True, "rotary_base": 1e6}),
    ("gpt2", {}),
    ("gpt2", {"tied_head": False, "n_inner": 64}),
]


@pytest.mark.parametrize(("family", "changes"), SHAPES)
def test_a_file_in_float32_is_the_model_to_the_bit(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny(family, vocab_size=tokenizer.vocab_size, **changes))
    opened, _ = load_gguf(gguf_of(tmp_path / "model.gguf", model, tokenizer))
    assert opened.config == model.config.with_(dropout=0.0)
    own = model.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in opened.state_dict().items())
    assert not opened.training


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
def test_transformers_gives_the_same_logits(family: str, tmp_path: Path) -> None:
    """Its own reading of a folder that was made of what was read."""
    transformers = pytest.importorskip("transformers")
    tokenizer = bpe()
    model = lively(tiny(family, vocab_size=tokenizer.vocab_size))
    opened = homespun.load(str(gguf_of(tmp_path / "model.gguf", model, tokenizer, "Q8_0")), device="cpu")
    save_model(tmp_path / "folder", opened.model, opened.tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "folder", dtype=torch.float32).eval()
    ids = random_ids(tokenizer.vocab_size)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, opened.model(ids)[0], atol=1e-3, rtol=0)
        assert not torch.equal(opened.model(ids)[0], model(ids)[0])  # eight bits are not thirty-two


@pytest.mark.parametrize("type", [name for name, block, _ in TENSOR_TYPES.values() if block == 32])
def test_few_bits_come_back_close_to_what_they_were(type: str, tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size, n_inner=64))
    opened, _ = load_gguf(gguf_of(tmp_path / "model.gguf", model, tokenizer, type))
    for name, tensor in opened.state_dict().items():
        wrong = (tensor - model.state_dict()[name]).abs().max()
        assert wrong < {"Q8_0": 0.01, "Q5_0": 0.08, "Q5_1": 0.08}.get(type, 0.15), name
    assert opened.token_embedding.weight.dtype == torch.float32


@pytest.mark.parametrize("type", [name for name, *_ in TENSOR_TYPES.values()])
def test_every_type_is_read_as_the_formats_own_library_reads_it(type: str, tmp_path: Path) -> None:
    tensor = torch.randn(3, 512, generator=torch.Generator().manual_seed(2)).numpy()
    path = write_gguf(tmp_path / "one.gguf", "llama", {}, {"a.weight": tensor}, type)
    file = read_gguf(path)
    theirs = gguf.GGUFReader(path).tensors[0]
    expected = torch.from_numpy(gguf.quants.dequantize(theirs.data, theirs.tensor_type).copy()).view(3, 512)
    assert torch.equal(read_tensor(file, file.tensors["a.weight"]).float(), expected)


def test_the_sizes_of_the_types_are_the_librarys() -> None:
    for number, (name, block, width) in TENSOR_TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, *gguf.GGML_QUANT_SIZES[kind]) == (name, block, width)


@pytest.mark.parametrize("type", PLAIN_BLOCKS)
def test_the_blocks_that_we_compute_ourselves_are_the_librarys_to_the_bit(type: str) -> None:
    width, _ = PLAIN_BLOCKS[type]
    stored = torch.randint(256, (5, 8 * width), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    assert torch.equal(floats(stored, type).view(torch.int32), from_library(stored, type).view(torch.int32))


@pytest.mark.parametrize(("type", "dtype"), [("F32", "float32"), ("F16", "float16"), ("BF16", "bfloat16")])
def test_whole_numbers_keep_the_precision_of_the_file(type: str, dtype: str, tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny("modern", vocab_size=tokenizer.vocab_size))
    path = gguf_of(tmp_path / "model.gguf", model, tokenizer, type)
    opened, _ = load_gguf(path)
    assert opened.head.weight.dtype == opened.final_norm.weight.dtype == getattr(torch, dtype)
    assert load_gguf(path, dtype=torch.float32)[0].head.weight.dtype == torch.float32


def test_a_head_that_is_stored_beside_the_same_embedding_is_tied(tmp_path: Path) -> None:
    """llama.cpp's converter writes GPT-2's table twice."""
    tokenizer = bpe()
    model = lively(tiny("gpt2", vocab_size=tokenizer.vocab_size))
    tensors = foreign_tensors(model)
    tensors["output.weight"] = tensors["token_embd.weight"]
    path = write_gguf(tmp_path / "model.gguf", "gpt2", settings_of(model, tokenizer), tensors)
    opened, _ = load_gguf(path)
    assert opened.head.weight is opened.token_embedding.weight
    tensors["output.weight"] = tensors["token_embd.weight"] + 1
    opened, _ = load_gguf(write_gguf(path, "gpt2", settings_of(model, tokenizer), tensors))
    assert torch.equal(opened.head.weight, opened.token_embedding.weight + 1)


def test_the_tokenizer_comes_along(tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size))
    opened = homespun.load(str(gguf_of(tmp_path / "model.gguf", model, tokenizer)))
    for text in (TEXT, "  two  spaces ", "x = 12345\n\n\tif y:", "naïve 漢字 😀", "".join(map(chr, range(300)))):
        ids = tokenizer.encode(text)
        assert opened.tokenizer.encode(text) == ids
        assert opened.tokenizer.decode(ids) == text
    assert opened.tokenizer.end_of_text == tokenizer.end_of_text
    assert opened.tokenizer.special_tokens == tokenizer.special_tokens
    assert opened.tokenizer.settings["chat_template"] == TEMPLATE
    assert "<|endoftext|>" not in [opened.tokenizer.token(id) for id in opened.tokenizer.encode("<|endoftext|>")]
    assert opened.generate("spin", max_tokens=5, temperature=0).startswith("spin")


def test_what_was_opened_can_be_saved_as_a_folder_and_is_the_same(tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size, n_kv_head=2))
    opened, its = load_gguf(gguf_of(tmp_path / "model.gguf", model, tokenizer, "Q4_0"))
    save_model(tmp_path / "folder", opened, its)
    again, tokenizer_again = load_model(tmp_path / "folder")
    assert all(torch.equal(tensor, opened.state_dict()[name]) for name, tensor in again.state_dict().items())
    assert tokenizer_again.encode(TEXT) == tokenizer.encode(TEXT)
    assert tokenizer_again.settings["chat_template"] == TEMPLATE
