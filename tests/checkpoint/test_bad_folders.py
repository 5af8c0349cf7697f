"""A folder that lies is found out before memory is taken, and a path that is no model is told what it is."""

from __future__ import annotations

import json
import math
import os
import re
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from homespun.checkpoint.folder import load_config, load_model, load_weights, save_model
from homespun.checkpoint.layout import layout
from homespun.checkpoint.weights import shapes_of, stored_shape
from homespun.errors import HomespunError, TokenizerError
from homespun.model.gpt import GPT
from tests.checkpoint.models import (
    ALPHABET,
    char_tokenizer,
    lively,
    spoil,
    spoil_weights,
    tiny,
    told,
)

# ---- weights that are not the config's ----


def test_a_missing_tensor_is_named_with_its_shape(folder: Path) -> None:
    spoil_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    assert told(folder) == (
        f"{folder}: the weights are not those of the model that config.json describes.\n"
        "  model.layers.1.mlp.up_proj.weight is missing; expected [96, 32]\n"
        "One of the two comes from another model: take both from the same place."
    )


def test_a_tensor_too_many_is_named(folder: Path) -> None:
    spoil_weights(
        folder, lambda weights: weights.update({"model.layers.2.mlp.up_proj.weight": torch.ones(96, 32)})
    )
    assert "model.layers.2.mlp.up_proj.weight [96, 32] was not expected" in told(folder)


def test_a_wrong_shape_is_told_with_the_right_one(folder: Path) -> None:
    spoil_weights(folder, lambda weights: weights.update({"lm_head.weight": torch.ones(32, 31)}))
    assert "lm_head.weight is [32, 31]; expected [31, 32]" in told(folder)


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    spoil_weights(folder, lambda weights: weights.update({"model.norm.weight": torch.ones(32, dtype=torch.int64)}))
    assert "model.norm.weight is stored as I64; expected F64, F32, F16, BF16" in told(folder)


def test_a_config_of_another_size_is_told_on_one_screen(folder: Path) -> None:
    spoil(folder, hidden_size=64)
    assert "model.embed_tokens.weight is [31, 32]; expected [31, 64]" in told(folder)
    assert "… and 17 more" in told(folder)


def test_the_weights_of_another_family_are_told(folder: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "gpt2", lively(tiny("gpt2")), char_tokenizer())
    (tmp_path / "gpt2" / "model.safetensors").replace(folder / "model.safetensors")
    assert "model.embed_tokens.weight is missing; expected [31, 32]" in told(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 512},
        {"hidden_size": 2**16, "intermediate_size": 2**18, "num_hidden_layers": 512},
        {"vocab_size": 2**22, "hidden_size": 2**16},
        {"num_attention_heads": 1024, "num_key_value_heads": 1024, "head_dim": 2**14},
        {"max_position_embeddings": 2**22, "head_dim": 2**14},
    ],
)
def test_a_config_that_asks_for_terabytes_is_refused_and_nothing_allocated(
    folder: Path, changes: dict[str, int]
) -> None:
    spoil(folder, **changes)
    assert re.search("expected|homespun goes up to", told(folder))


def test_a_context_of_millions_is_refused_although_no_weight_has_its_length(folder: Path) -> None:
    spoil(folder, max_position_embeddings=2**22, head_dim=128)
    assert "speaks of a context of 4,194,304 tokens" in told(folder)
    assert "With heads 128 wide homespun goes up to 1,048,576." in told(folder)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is damaged: it is empty"),
        (b'{"model_type": "qwen3"', "is damaged: it is not JSON"),
        (b"\xff\xfe\x00", "is damaged: it is not JSON"),
        (b"[" * 100_000, "is damaged: it is not JSON"),
        (b'{"vocab_size": ' + b"9" * 10_000 + b"}", "is damaged: it is not JSON"),
        (b'["model_type", "qwen3"]', 'holds ["model_type", "qwen3"] where settings with names were expected'),
        (b"[1, 2, 3, 4]", "holds a list of 4 where settings with names were expected"),
        (b"12", "holds 12 where"),
        (b"null", "holds null where"),
        (b"{}", "model_type is null"),
    ],
)
def test_a_damaged_config_is_told(folder: Path, content: bytes, what: str) -> None:
    (folder / "config.json").write_bytes(content)
    assert what in told(folder)


@pytest.mark.parametrize("name", ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"])
@pytest.mark.parametrize("value", [-1, 0, 2**40, 10**300, 1.5, "64", "", True, [64], {"a": 1}, float("nan"), None])
def test_a_size_that_is_none_is_told_by_name_and_value(folder: Path, name: str, value: Any) -> None:
    spoil(folder, **{name: value})
    message = told(folder)
    assert f"config.json does not say {name}." in message or re.search(
        rf"config.json: {name} is .{{1,61}}\. homespun can work with: a whole number from 1 to [\d,]+\.",
        message,
    )


@pytest.mark.parametrize("name", ["rms_norm_eps", "rope_theta", "attention_dropout"])
@pytest.mark.parametrize("value", [-1, 1e300, "1e-6", "", True, [1], float("nan"), float("inf")])
def test_a_number_that_is_none_is_told_by_name(folder: Path, name: str, value: Any) -> None:
    spoil(folder, **{name: value})
    assert f"config.json: {name} is " in told(folder)


def test_a_config_of_a_hundred_megabytes_is_not_read(folder: Path) -> None:
    os.truncate(folder / "config.json", 100 * 2**20)
    assert "config.json has 104,857,600 bytes; no such file has more than 1,048,576" in told(folder)


def test_a_config_that_is_a_folder_or_a_pipe_is_told(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "config.json is not a file" in told(folder)
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    assert "config.json is not a file" in told(folder)


def test_weights_that_are_a_pipe_are_not_waited_for(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    assert "model.safetensors is not a file" in told(folder)


def test_weights_beyond_the_memory_are_refused_though_their_file_takes_no_room(folder: Path) -> None:
    """A file with a hole: the header is true, the terabytes of numbers are there, and all of them are zero."""
    size = {"vocab_size": 2**22, "hidden_size": 2**14, "intermediate_size": 32}
    spoil(
        folder, **size, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, tie_word_embeddings=True
    )
    shapes = {tensor.name: stored_shape(tensor, shapes_of(config)) for config in [load_config(folder)]
              for tensor in layout(config, shapes_of(config))}  # fmt: skip
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    head = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(folder / "model.safetensors", 8 + len(head) + end)
    assert re.search(
        r"needs 256\.\d GiB of memory; this computer has [\d,.]+ GiB, and [\d,.]+ GiB are free\.", told(folder)
    )


def test_a_model_that_memory_has_no_room_for_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=50_000, available=40_000))
    monkeypatch.setattr("psutil.swap_memory", lambda: SimpleNamespace(total=0))
    assert told(folder) == (
        f"{folder} needs 0.0 GiB of memory; this computer has 0.0 GiB, and 0.0 GiB are free.\n"
        "Close other programs, or take a smaller model."
    )


def test_memory_that_other_programs_have_at_the_moment_is_no_reason_to_refuse(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=2**40, available=0))
    load_model(folder)


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "sub/a.safetensors", "..", "", "a.bin", "a\0b"]
)
def test_an_index_cannot_lead_out_of_the_folder(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
    assert "names a file that cannot be" in told(folder)


def test_weights_that_were_cut_short_are_told(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 60_000)
    assert re.search(r"model.safetensors is damaged: its header promises [\d,]+ bytes of numbers", told(folder))


def test_a_tokenizer_with_more_tokens_than_the_model_is_told(folder: Path) -> None:
    char_tokenizer(alphabet=ALPHABET + "é").save(folder)
    assert told(folder).startswith(f"{folder}: the tokenizer has 32 tokens, the model 31.")


def test_a_folder_without_a_tokenizer_is_told_and_its_weights_can_be_had(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match="has no tokenizer"):
        load_model(folder)
    assert isinstance(load_weights(folder), GPT)


# ---- paths that are no model folder ----


def test_a_folder_that_is_not_there_gets_the_near_names(folder: Path) -> None:
    assert told(folder.parent / "rum") == (
        f"There is no model folder {folder.parent}/rum.\nDid you mean {folder.parent}/run?"
    )
    assert told(folder.parent / "elsewhere" / "far") == (
        f"There is no model folder {folder.parent}/elsewhere/far.\n"
        "A model folder holds config.json, model.safetensors and tokenizer.json, as homespun train writes them."
    )


def test_a_name_that_cannot_be_a_folder_is_told(tmp_path: Path) -> None:
    assert "cannot be opened: File name too long" in told(tmp_path / ("x" * 300))


def test_a_folder_of_runs_names_the_runs(folder: Path) -> None:
    assert told(folder.parent) == (
        f"{folder.parent} has model folders in it and is none itself.\nGive one of them: {folder}"
    )


def test_a_file_of_a_model_folder_leads_to_the_folder(folder: Path) -> None:
    assert told(folder / "model.safetensors").endswith(f"Give the folder that it is in: {folder}")


def test_another_file_or_folder_is_told_what_a_model_looks_like(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("Once")
    assert "book.txt is a file, and a model is a folder" in told(tmp_path / "book.txt")
    assert f"{tmp_path} is no model folder: it has no model.safetensors. It holds: book.txt." in told(tmp_path)


def test_a_folder_that_was_not_written_to_its_end_is_told(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "has weights and no config.json: it was not written to its end" in told(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "ckpt.pt", "model.pth"])
@pytest.mark.parametrize("with_config", [True, False])
def test_a_pickle_is_never_opened(tmp_path: Path, name: str, with_config: bool, folder: Path) -> None:
    trap = tmp_path / "sprung"
    torch.save(Trap(trap), folder / name)
    (folder / "model.safetensors").unlink()
    if not with_config:
        (folder / "config.json").unlink()
    for path in (folder, folder / name):
        assert f"{folder / name} is a pickle. To open one as usual is to run whatever program is" in told(path)
        assert f"homespun import {folder / name}" in told(path)
    assert not trap.exists()


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_an_adapter_alone_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "is an adapter (LoRA)" in told(tmp_path)


def test_whatever_byte_is_damaged_the_answer_is_a_model_or_a_message(folder: Path) -> None:
    """One byte of config.json and of the weights' header at a time, everywhere."""
    for name, length in (("config.json", 900), ("model.safetensors", 1200)):
        whole = (folder / name).read_bytes()
        for place in range(0, min(length, len(whole)), 11):
            for byte in (0x00, 0x39, 0xFF):
                (folder / name).write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
                try:
                    load_weights(folder)
                except HomespunError as error:
                    assert error.todo
        (folder / name).write_bytes(whole)
