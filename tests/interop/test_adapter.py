"""Adapters: ours open in `peft`, those of `peft` open here, and what does not fit is refused by name."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.checkpoint.adapter import ADAPTER, ADAPTER_WEIGHTS, Base, Change, modules_of, write_adapter
from homespun.checkpoint.folder import load_model, save_model
from homespun.checkpoint.tensors import read_tensors, write_tensors
from homespun.errors import CheckpointError
from homespun.interop.adapter import fingerprint
from homespun.interop.open import open_model
from tests.finetuning.conftest import base, byte_tokenizer, tiny_config, tiny_model  # noqa: F401 (fixtures)

Make = Callable[..., Path]
IDS = torch.randint(257, (2, 20), generator=torch.Generator().manual_seed(1))
FAMILIES = ["modern", "llama", "qwen2", "gpt2"]


def adapter_of(folder: Path, out: Path, rank: int = 4, **settings: Any) -> dict[str, Change]:
    """Writes an adapter with changes to every matrix of the model in that folder, and returns them."""
    model, tokenizer = load_model(folder)
    torch.manual_seed(2)
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    names = [part for tensor in modules_of(model.config).values() for part in tensor.parts]
    changes = {
        name: Change(torch.randn(rank, shapes[name][1]) * 0.2, torch.randn(shapes[name][0], rank) * 0.2, 2.0)
        for name in names
    }
    write_adapter(
        out,
        model.config,
        changes,
        tokenizer,
        base=Base(str(folder), fingerprint=fingerprint(folder)),
        rank=rank,
        alpha=2.0 * rank,
    )
    for name, value in settings.items():
        change_settings(out, **{name: value})
    return changes


def change_settings(folder: Path, **settings: Any) -> None:
    path = folder / ADAPTER
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def opened_in_peft(folder: Path, adapter: Path) -> torch.nn.Module:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return peft.PeftModel.from_pretrained(model, adapter).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_our_adapter_computes_the_same_in_peft(family: str, base: Make, tmp_path: Path) -> None:
    folder = base(family)
    adapter_of(folder, tmp_path / "adapter")
    theirs = opened_in_peft(folder, tmp_path / "adapter")
    ours, _, _ = open_model(tmp_path / "adapter")
    plain, _ = load_model(folder)
    with torch.no_grad():
        logits = ours(IDS)[0]
        torch.testing.assert_close(logits, theirs(IDS).logits, rtol=1e-4, atol=1e-4)
        assert (logits - plain(IDS)[0]).abs().max() > 0.1, "the adapter changes nothing"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_made_by_peft_computes_the_same_here(
    family: str, rslora: bool, base: Make, tmp_path: Path
) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    folder = base(family)
    names = ["c_attn", "c_fc"] if family == "gpt2" else ["q_proj", "v_proj", "down_proj"]
    settings = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules=names,
        use_rslora=rslora,
        rank_pattern={names[-1]: 6},
        alpha_pattern={names[0]: 7},
        fan_in_fan_out=family == "gpt2",
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(0)
    whole = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = peft.get_peft_model(whole, settings).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    ours, tokenizer, _ = open_model(tmp_path / "adapter")
    assert tokenizer.kind == "byte"  # the base's: the adapter has none
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS)[0], model(IDS).logits, rtol=1e-4, atol=1e-4)


def test_a_base_that_is_gone_is_named(base: Make, tmp_path: Path) -> None:
    folder = base("llama")
    adapter_of(folder, tmp_path / "adapter")
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="which is not there") as caught:
        open_model(tmp_path / "adapter")
    assert str(folder) in caught.value.what and "base_model_name_or_path" in caught.value.todo


def test_a_base_that_was_trained_on_is_noticed(base: Make, tmp_path: Path) -> None:
    folder = base("llama")
    adapter_of(folder, tmp_path / "adapter")
    save_model(folder, tiny_model("llama", seed=8), load_model(folder)[1])
    with pytest.raises(CheckpointError, match="not those that it was made for"):
        open_model(tmp_path / "adapter")


def test_a_copy_of_the_base_is_the_base(base: Make, tmp_path: Path) -> None:
    folder = base("llama")
    adapter_of(folder, tmp_path / "adapter")
    folder.rename(tmp_path / "moved")
    change_settings(tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "moved"))
    open_model(tmp_path / "adapter")


def test_an_adapter_of_a_model_of_another_shape_is_refused(base: Make, tmp_path: Path) -> None:
    adapter_of(base("llama"), tmp_path / "adapter")
    tensors = read_tensors(tmp_path / "adapter" / ADAPTER_WEIGHTS)
    write_tensors(tmp_path / "adapter" / ADAPTER_WEIGHTS, tensors)  # from elsewhere: without a fingerprint
    wide = tmp_path / "wide"
    save_model(wide, tiny_model("llama", n_embd=48), load_model(base("llama"))[1])
    change_settings(tmp_path / "adapter", base_model_name_or_path=str(wide))
    with pytest.raises(CheckpointError, match=r"the model wants \[4, \d+\] and \[48, 4\]"):
        open_model(tmp_path / "adapter")
    change_settings(tmp_path / "adapter", base_model_name_or_path=str(base("gpt2")))
    with pytest.raises(CheckpointError, match="blocks of gpt2 models only"):
        open_model(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_dora": True}, "use_dora is true"),
        ({"peft_type": "IA3"}, 'peft_type is "IA3"'),
        ({"bias": "all"}, 'bias is "all"'),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices is"),
        ({"layer_replication": [[0, 1]]}, "layer_replication is"),
        ({"r": 0}, "r is 0"),
        ({"r": "eight"}, "r is"),
        ({"r": 8}, r"the model wants \[8, 96\]"),
        ({"lora_alpha": None}, "does not say lora_alpha"),
        ({"rank_pattern": {"layers.*": 3}}, "rank_pattern is"),
        ({"alpha_pattern": [1]}, "alpha_pattern is"),
        ({"base_model_name_or_path": None}, "does not say which model"),
        ({"task_type": "SEQ_CLS"}, "task_type is"),
    ],
)
def test_what_an_adapter_asks_for_and_we_do_not_have_is_refused_by_name(
    settings: dict[str, Any], words: str, base: Make, tmp_path: Path
) -> None:
    adapter_of(base("llama"), tmp_path / "adapter", **settings)
    with pytest.raises(CheckpointError, match=words):
        open_model(tmp_path / "adapter")


def test_an_adapter_on_an_adapter_or_on_itself_is_refused(base: Make, tmp_path: Path) -> None:
    adapter_of(base("llama"), tmp_path / "one")
    adapter_of(base("llama"), tmp_path / "two", base_model_name_or_path=str(tmp_path / "one"))
    with pytest.raises(CheckpointError, match="is an adapter too"):
        open_model(tmp_path / "two")
    change_settings(tmp_path / "two", base_model_name_or_path=str(tmp_path / "two"))
    with pytest.raises(CheckpointError, match="is an adapter too"):
        open_model(tmp_path / "two")


def test_damaged_weights_are_told(base: Make, tmp_path: Path) -> None:
    adapter_of(base("llama"), tmp_path / "adapter")
    path = tmp_path / "adapter" / ADAPTER_WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        open_model(tmp_path / "adapter")
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_model(tmp_path / "adapter")
    write_tensors(path, {})
    with pytest.raises(CheckpointError, match="changes nothing"):
        open_model(tmp_path / "adapter")


def test_half_a_pair_is_refused(base: Make, tmp_path: Path) -> None:
    adapter_of(base("llama"), tmp_path / "adapter")
    path = tmp_path / "adapter" / ADAPTER_WEIGHTS
    tensors = read_tensors(path)
    del tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"]
    write_tensors(path, tensors)
    with pytest.raises(CheckpointError, match="missing"):
        open_model(tmp_path / "adapter")


def test_gpt2s_queries_keys_and_values_are_one_matrix_there() -> None:
    modules = modules_of(tiny_config("gpt2"))
    assert modules["transformer.h.0.attn.c_attn"].parts == tuple(
        f"blocks.0.attention.{part}.weight" for part in ("query", "key", "value")
    )
