"""The model folder: what is saved comes back, whoever wrote it, and an overwritten one is never half."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.checkpoint.folder import load_config, load_model, load_weights, save_model
from homespun.checkpoint.weights import shapes_of
from homespun.errors import WriteFailed
from homespun.model.gpt import build
from homespun.tokenizer.open import load as load_tokenizer
from tests.checkpoint.models import (
    ALPHABET,
    EVERY_KIND,
    char_tokenizer,
    lively,
    names_in,
    random_ids,
    spoil_weights,
    tiny,
    told,
)

FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
every_kind = pytest.mark.parametrize("family", EVERY_KIND)


@every_kind
def test_a_saved_model_comes_back_with_its_tokenizer(family: str, tmp_path: Path) -> None:
    model, tokenizer = lively(tiny(family)), char_tokenizer()
    save_model(tmp_path, model, tokenizer)
    assert names_in(tmp_path) == FILES
    back, tokenizer_back = load_model(tmp_path)
    assert back.config == model.config == load_config(tmp_path)
    assert not back.training
    ids = random_ids(len(ALPHABET))
    assert torch.equal(back(ids)[0], model(ids)[0])
    assert tokenizer_back.encode("come back, please!") == tokenizer.encode("come back, please!")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["modern", "llama", "gpt2", "lecture"])
def test_a_model_that_came_back_trains_as_the_one_that_went(family: str, tied: bool, tmp_path: Path) -> None:
    model = lively(tiny(family, tied_head=tied, n_kv_head=4))
    save_model(tmp_path, model, char_tokenizer())
    back = load_weights(tmp_path)
    ids = random_ids(len(ALPHABET))
    for one in (model, back):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        one(ids, ids)[1].backward()
        optimizer.step()
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in back.named_parameters()]
    for mine, theirs in zip(model.parameters(), back.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert (back.head.weight is back.token_embedding.weight) == tied


def test_loading_leaves_the_random_state_alone(folder: Path) -> None:
    before = torch.random.get_rng_state()
    load_model(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("family", ["modern", "gpt2"])
def test_weights_are_memory_of_their_own(family: str, tmp_path: Path) -> None:
    model = lively(tiny(family, tied_head=False))
    save_model(tmp_path, model, char_tokenizer())
    back = load_weights(tmp_path).state_dict()
    with (tmp_path / "model.safetensors").open("r+b") as file:  # no window onto the file
        file.write(b"\0" * (tmp_path / "model.safetensors").stat().st_size)
    assert all(torch.equal(back[name], weight) for name, weight in model.state_dict().items())
    # Nor onto each other: queries, keys and values are one tensor in GPT-2's file.
    assert len({weight.untyped_storage().data_ptr() for weight in back.values()}) == len(back)
    assert all(weight.is_contiguous() and weight.storage_offset() == 0 for weight in back.values())


def test_the_dtype_is_the_stored_one_unless_another_is_asked_for(tmp_path: Path) -> None:
    model = lively(tiny("modern"))
    save_model(tmp_path, model, char_tokenizer(), dtype=torch.bfloat16)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    stored, widened = load_weights(tmp_path), load_weights(tmp_path, dtype=torch.float32)
    assert {weight.dtype for weight in stored.parameters()} == {torch.bfloat16}
    assert stored.cosines.dtype == torch.float32  # angles are exact whatever the weights are
    assert torch.equal(widened.head.weight, model.head.weight.to(torch.bfloat16).float())


@every_kind
def test_shapes_are_known_without_building_the_model(family: str) -> None:
    config = tiny(family)
    built = {name: tuple(weight.shape) for name, weight in build(config).state_dict().items()}
    assert list(shapes_of(config).items()) == list(built.items())


def test_the_sampling_that_suits_the_model_is_kept(tmp_path: Path) -> None:
    save_model(tmp_path, lively(tiny("modern")), char_tokenizer(), generation={"temperature": 0.7, "top_k": 40})
    assert json.loads((tmp_path / "generation_config.json").read_text()) == {
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 40,
    }


# ---- overwriting ----


def test_saving_again_replaces_the_weights_and_leaves_the_rest_of_the_folder(folder: Path) -> None:
    (folder / "plan.toml").write_text("seed = 1\n")
    better = lively(tiny("modern"), seed=5)
    save_model(folder, better, char_tokenizer())
    assert torch.equal(load_weights(folder).head.weight, better.head.weight)
    assert names_in(folder) == sorted([*FILES, "plan.toml"])


@every_kind
def test_a_folder_may_become_another_model(family: str, folder: Path) -> None:
    save_model(folder, lively(tiny(family, vocab_size=99)), char_tokenizer(documents=2))
    model, tokenizer = load_model(folder)
    assert model.config == tiny(family, vocab_size=99)
    assert tokenizer.end_of_text == len(ALPHABET)


def test_a_save_that_fails_leaves_the_model_that_was_there(folder: Path) -> None:
    """For real, in a process whose files may have 20,000 bytes: the tokenizer fits, the weights do not."""
    before = {name: (folder / name).read_bytes() for name in FILES}
    program = (
        "import resource, sys\n"
        "from homespun.checkpoint.folder import save_model\n"
        "from homespun.errors import WriteFailed\n"
        "from tests.checkpoint.models import char_tokenizer, lively, tiny\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try: save_model(sys.argv[1], lively(tiny('gpt2')), char_tokenizer(documents=2))\n"
        "except WriteFailed as error: print(error.what)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert f"{folder}/model.safetensors would be larger than this disk" in done.stdout
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    assert names_in(folder) == FILES


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteFailed, match="something that should be a folder on the way to it is a file"):
        save_model(tmp_path / "file" / "run", lively(tiny("bigram")), char_tokenizer())


def test_a_model_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new model has the same shapes and other characters: nothing but the time tells them apart."""
    load = load_tokenizer

    def and_then_replaced(path: Path) -> Any:
        old = load(path)
        save_model(folder, lively(tiny("modern"), seed=7), char_tokenizer(alphabet=ALPHABET.upper()))
        return old

    monkeypatch.setattr("homespun.tokenizer.open.load", and_then_replaced)
    assert told(folder) == f"{folder} was written to while it was read.\nTry again."
    monkeypatch.undo()
    load_model(folder)


def test_new_weights_of_the_same_run_disturb_no_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = load_tokenizer
    better = lively(tiny("modern"), seed=7)

    def and_then_better(path: Path) -> Any:
        save_model(folder, better, char_tokenizer())
        return load(path)

    monkeypatch.setattr("homespun.tokenizer.open.load", and_then_better)
    assert torch.equal(load_model(folder)[0].head.weight, better.head.weight)


# ---- what other writers do ----


def test_a_tied_head_that_is_stored_all_the_same_is_let_go_if_it_is_the_embedding(tmp_path: Path) -> None:
    model = lively(tiny("modern", tied_head=True))
    save_model(tmp_path, model, char_tokenizer())
    embedding = load_file(tmp_path / "model.safetensors")["model.embed_tokens.weight"]
    spoil_weights(tmp_path, lambda weights: weights.update({"lm_head.weight": embedding.clone()}))
    assert torch.equal(load_weights(tmp_path).head.weight, model.head.weight)
    spoil_weights(tmp_path, lambda weights: weights.update({"lm_head.weight": embedding + 1}))
    assert "the head is tied to the embedding, but lm_head.weight is not the same" in told(tmp_path)
    spoil_weights(tmp_path, lambda weights: weights.update({"lm_head.weight": embedding[:5]}))
    assert "lm_head.weight [5, 32] was not expected" in told(tmp_path)


def test_the_first_gpt2_files_open_with_their_shorter_names_and_their_masks(tmp_path: Path) -> None:
    model = lively(tiny("gpt2"))
    save_model(tmp_path, model, char_tokenizer())

    def as_it_was(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weights[name.removeprefix("transformer.")] = weights.pop(name)
        weights["h.0.attn.bias"] = torch.ones(1, 1, 24, 24).tril()
        weights["h.1.attn.masked_bias"] = torch.tensor(-1e4)

    spoil_weights(tmp_path, as_it_was)
    ids = random_ids(len(ALPHABET))
    assert torch.equal(load_weights(tmp_path)(ids)[0], model(ids)[0])


def split(folder: Path) -> None:
    """Turns the one file of weights into two with an index, as large models come."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    places = {}
    for part in (0, 1):
        file = f"model-0000{part + 1}-of-00002.safetensors"
        save_file({name: weights[name] for name in names[part::2]}, folder / file)
        places.update(dict.fromkeys(names[part::2], file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_weights_in_several_files_are_read(folder: Path) -> None:
    whole = load_weights(folder).state_dict()
    split(folder)
    back = load_weights(folder).state_dict()
    assert all(torch.equal(back[name], whole[name]) for name in whole)


def test_an_index_that_lies_is_told(folder: Path) -> None:
    split(folder)
    (folder / "model-00001-of-00002.safetensors").unlink()
    assert "is incomplete: model-00001-of-00002.safetensors, one of 2 files of weights, is missing" in told(folder)
    index = folder / "model.safetensors.index.json"
    for place in ("../secret.safetensors", "/etc/passwd", "weights.bin", ""):
        index.write_text(json.dumps({"weight_map": {"lm_head.weight": place}}))
        assert f"names a file that cannot be: {place!r}" in told(folder)
    for content in ({}, {"weight_map": []}, {"weight_map": {"a": 1}}):
        index.write_text(json.dumps(content))
        assert "its weight_map names no files" in told(folder)


def test_a_tensor_that_is_in_two_files_is_told(folder: Path) -> None:
    split(folder)
    save_file({"lm_head.weight": torch.ones(31, 32)}, folder / "model-00002-of-00002.safetensors")
    assert "lm_head.weight is there twice" in told(folder)
