"""What `show` knows of a model, and that it is so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import homespun
from homespun.checkpoint.folder import save_model
from homespun.checkpoint.tensors import write_tensors
from homespun.errors import CheckpointError
from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.watcher import Watcher
from tests.model.shapes import FAMILY_NAMES as FAMILIES

SHAPE: dict[str, Any] = {"context_length": 24, "n_layer": 2, "n_head": 4, "n_embd": 32}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build("byte", alphabet={}, documents=2, pieces=lambda: iter([]))


def folder_of(family: str, tokenizer: Tokenizer, path: Path, **shape: Any) -> tuple[Path, GPT | Bigram]:
    torch.manual_seed(0)
    if family == "bigram":
        model: GPT | Bigram = Bigram(BigramConfig(tokenizer.vocab_size))
    else:
        model = GPT(GPTConfig.of(family, vocab_size=tokenizer.vocab_size, **{**SHAPE, **shape}))
    save_model(path, model, tokenizer)
    return path, model


@pytest.mark.parametrize("family", [*FAMILIES, "bigram"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_parameters_are_those_of_the_model(
    tokenizer: Tokenizer, tmp_path: Path, family: str, tied: bool
) -> None:
    folder, model = folder_of(family, tokenizer, tmp_path / "m", tied_head=tied)
    found = homespun.show(folder)
    assert found.parameters is not None and found.memory is not None
    assert found.kind == "folder" and found.family == family
    assert found.parameters.total == model.number_of_parameters()
    tables = {
        id(weight): weight.numel()
        for name, weight in model.named_parameters()
        if name in ("token_embedding.weight", "position_embedding.weight", "head.weight")
    }
    assert found.parameters.embedding == (sum(tables.values()) or model.number_of_parameters())
    assert found.memory.weights["float32"] == 4 * found.parameters.total
    assert found.stored.types == {"F32": found.parameters.total}
    assert found.stored.bytes == (folder / "model.safetensors").stat().st_size


def test_the_cache_is_as_large_as_the_engines(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from homespun.generation.engine import Engine
    from homespun.generation.kv_blocks import blocks_for

    folder, model = folder_of("llama", tokenizer, tmp_path / "m", n_kv_head=2, context_length=64, n_embd=64)
    found = homespun.show(folder)
    assert found.memory is not None
    assert found.memory.cache == Engine(model).bytes_per_block() * blocks_for(64)


def test_the_operations_are_those_that_torch_counts(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    folder, model = folder_of("modern", tokenizer, tmp_path / "m")
    found = homespun.show(folder)
    assert found.flops is not None
    ids = torch.zeros(1, 24, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids, ids)
    assert found.flops.first == counter.get_total_flops() / 24  # which leaves out attention's scores on a CPU
    assert found.flops.last == found.flops.first + 4 * 2 * 32 * 24


def test_the_tokenizer_and_where_it_comes_from(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder, _ = folder_of("modern", tokenizer, tmp_path / "yarn")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": "{{ messages }}"}))
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\nbase_model: someone/wool\n---\n# Yarn\n")
    found = homespun.show(str(folder))
    assert found.tokenizer is not None
    assert found.tokenizer.kind == "byte" and found.tokenizer.vocab_size == 257
    assert found.tokenizer.end_of_text == "<|endoftext|>" and found.tokenizer.special == {"<|endoftext|>": 256}
    assert found.tokenizer.chat_template
    assert (found.origin.name, found.origin.license, found.origin.base) == ("yarn", "cc0-1.0", "someone/wool")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> homespun.TrainedModel:
    place = tmp_path_factory.mktemp("runs")
    text = place / "book.txt"
    text.write_text("".join(f"{n} green bottles standing on the wall.\n" for n in range(400)))
    small = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16, "batch_size": 4, "compile": False}
    return homespun.train(text, steps=20, settings=small, out=place / "book", watcher=Watcher())


def test_a_run_tells_its_text_its_loss_and_its_curve(run: homespun.TrainedModel) -> None:
    found = homespun.show(run.folder)
    assert found.kind == "run" and found.training is not None
    assert found.training.text == (str(run.folder.parent / "book.txt"),) and found.training.steps == 20
    assert found.training.loss == pytest.approx(run.result.val_loss, abs=1e-6)
    assert found.training.bits_per_char == pytest.approx(run.result.bits_per_char, abs=1e-6)
    assert found.training.curve[0][0] == 0 and found.training.curve[-1][0] == 20 * 4 * 16
    assert found.parameters is not None and found.parameters.total == run.result.parameters


@pytest.mark.parametrize(
    "line", ["not JSON", '{"step": 1}', "[" * 100_000, {"val_loss": "low"}, {"tokens": 10**30}], ids=range(5)
)
def test_a_damaged_curve_is_told_and_the_rest_is_shown(
    run: homespun.TrainedModel, tmp_path: Path, line: str | dict[str, Any]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(run.folder, folder)
    records = (folder / "metrics.jsonl").read_text().splitlines()
    second = line if isinstance(line, str) else json.dumps({**json.loads(records[1]), **line})
    (folder / "metrics.jsonl").write_text(f"{records[0]}\n{second}\n")
    found = homespun.show(folder)
    assert found.parameters is not None and found.training is not None
    assert found.training.curve == () and "line 2: this is no record" in found.training.missing
    (folder / "plan.toml").write_text("text = 7")
    found = homespun.show(folder)
    assert found.training is not None and "plan.toml" in found.training.missing


def test_a_folder_that_lies_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder, _ = folder_of("modern", tokenizer, tmp_path / "m")
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, "num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match="not those of the model"):
        homespun.show(folder)
    (folder / "config.json").write_text(json.dumps({**said, "vocab_size": 200}))
    with pytest.raises(CheckpointError):
        homespun.show(folder)
    (folder / "config.json").write_text(json.dumps(said))
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-8])
    with pytest.raises(CheckpointError, match="damaged"):
        homespun.show(folder)


def test_no_weights_are_read(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A file of a terabyte that takes no room on the disk."""
    folder, _ = folder_of("modern", tokenizer, tmp_path / "m")
    wide = GPTConfig.of("modern", vocab_size=257, **{**SHAPE, "n_layer": 500, "n_embd": 2**15, "n_head": 256})
    said = json.loads((folder / "config.json").read_text())
    from homespun.checkpoint.hf_names import to_hf
    from homespun.checkpoint.layout import layout
    from homespun.checkpoint.weights import shapes_of, stored_shape
    from homespun.tokenizer.special_ids import SpecialIds

    (folder / "config.json").write_text(
        json.dumps({**said, **to_hf(wide, special_ids=SpecialIds(eos=(256,)), dtype="bfloat16")})
    )
    shapes, header, start = shapes_of(wide), {}, 0
    for tensor in layout(wide, shapes):
        shape = stored_shape(tensor, shapes)
        end = start + 2 * torch.Size(shape).numel()
        header[tensor.name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    head = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        try:
            file.truncate(8 + len(head) + start)
        except OSError:
            pytest.skip("no file of that size here")
    found = homespun.show(folder)
    assert found.stored.bytes > 1e12 and found.parameters is not None and found.parameters.total > 5e11


def test_a_gguf_file_tells_the_same_as_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from tests.interop.files import bpe, gguf_of

    tokenizer = bpe()
    folder, model = folder_of("llama", tokenizer, tmp_path / "m", tied_head=False)
    assert isinstance(model, GPT)
    path = gguf_of(tmp_path / "model.gguf", model, tokenizer)
    one, other = homespun.show(folder), homespun.show(path)
    assert other.kind == "file" and other.stored.types == one.stored.types
    assert (one.family, one.parameters, one.memory, one.flops) == (
        other.family, other.parameters, other.memory, other.flops
    )  # fmt: skip


def test_an_adapter_is_shown_with_its_base_and_without(tmp_path: Path) -> None:
    from homespun.checkpoint.adapter import Base, Change, write_adapter

    tokenizer = build("byte", alphabet={}, documents=2, pieces=lambda: iter([]))
    base, model = folder_of("modern", tokenizer, tmp_path / "base")
    assert isinstance(model, GPT)
    names = [name for name in model.state_dict() if name.endswith(("query.weight", "value.weight"))]
    shapes = {name: model.state_dict()[name].shape for name in names}
    changes = {
        name: Change(torch.zeros(4, shape[1]), torch.zeros(shape[0], 4), 2.0) for name, shape in shapes.items()
    }
    for place in (str(base), "someone/wool"):
        folder = tmp_path / place.replace("/", "-")
        write_adapter(folder, model.config, changes, tokenizer, base=Base(place), rank=4, alpha=8.0)
        found = homespun.show(folder)
        assert found.kind == "adapter" and found.adapter is not None and found.tokenizer is not None
        assert (found.adapter.base, found.adapter.rank, found.adapter.alpha) == (place, 4, 8.0)
        assert found.adapter.parameters == sum(4 * sum(shape) for shape in shapes.values())
        assert len(found.adapter.modules) == 2
        assert found.adapter.base_is_here == (found.parameters is not None) == (place == str(base))
        assert bool(found.notes) == (place != str(base))


def test_what_is_no_model_is_told_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no model folder"):
        homespun.show(tmp_path / "gone")
    write_tensors(tmp_path / "model.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="has weights and no config"):
        homespun.show(tmp_path)
