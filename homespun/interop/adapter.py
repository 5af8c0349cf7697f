"""An adapter, opened: its base is found and opened, and its changes are added to the base's weights, in memory.

What comes out is an ordinary model. Nothing of PEFT is needed for it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from homespun.checkpoint.adapter import AdapterConfig, Base, Change, is_adapter, read_adapter_config, read_changes
from homespun.checkpoint.special_ids import fitting, generation_config
from homespun.checkpoint.weights import weight_files
from homespun.errors import CheckpointError
from homespun.interop.find import find_model
from homespun.interop.packaged import PACKAGED
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT
from homespun.tokenizer.special_ids import SpecialIds

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer

# A fingerprint reads so many pieces of a file, spread over it: training changes every number.
PIECES = 64
PIECE_BYTES = 2**16


def open_adapter(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[CausalLM, Tokenizer]:
    """The base with the adapter's changes in it, and the adapter's tokenizer, or the base's where it has none.

    Raises CheckpointError where the base is gone or is another one, and where the adapter asks for what we lack.
    """
    from homespun.interop.open import open_model

    adapter = read_adapter_config(folder)
    place = base_of(folder, adapter)
    model, its_tokenizer, _ = open_model(place, device=device, dtype=dtype)
    if not isinstance(model, GPT):
        raise CheckpointError(
            f"{folder}: its base {adapter.base.name} is a bigram, which has no blocks to change.",
            "Give the folder of a whole model.",
        )
    merge(model, read_changes(folder, adapter, model.config))
    tokenizer = tokenizer_of_adapter(folder, its_tokenizer)
    return model, fitting(tokenizer, model.config.vocab_size, folder)


def tokenizer_of_adapter(folder: Path, base: Tokenizer) -> Tokenizer:
    """The adapter's own, or its base's where it has none. What the base states of ids holds for the adapter; ends
    that the adapter adds stand before those of the base. Raises TokenizerError."""
    from homespun.tokenizer.open import load as load_tokenizer

    if not (folder / "tokenizer.json").is_file():
        return base
    tokenizer = load_tokenizer(folder)
    said = SpecialIds.from_json(generation_config(folder), below=tokenizer.vocab_size)
    stated = base.special_ids
    for id in (*reversed(said.eos), tokenizer.end_of_text):
        stated = stated.ending_with(id)
    tokenizer.stated = stated
    return tokenizer


@torch.no_grad()
def merge(model: GPT, changes: dict[str, Change]) -> None:
    """Adds the changes to the model's matrices, in float32 whatever they are stored in."""
    weights = dict(model.named_parameters())
    for name, change in changes.items():
        weight = weights[name]
        weight.copy_(weight.float() + change.delta().to(weight.device))


def base_of(folder: Path, adapter: AdapterConfig) -> Path:
    """Where the base lies on this disk. Raises CheckpointError where it is gone, or is not the one it was."""
    base = adapter.base
    name = base.name
    own = folder.resolve()
    place = find_model(f"{name}@{base.revision}" if base.revision and "/" in name else name)
    if not place.exists():
        raise CheckpointError(
            f"{folder} is an adapter: changes to the model {name}, which is not there (any more).",
            "Put that model back, or write where it is now into adapter_config.json, as base_model_name_or_path.",
        )
    if place.resolve() == own or is_adapter(place):
        raise CheckpointError(
            f"{folder} is an adapter whose base, {name}, is an adapter too.",
            "Merge that one first:  homespun export --to merged",
        )
    if base.fingerprint and fingerprint(place) != base.fingerprint:
        raise CheckpointError(
            f"{folder} is an adapter of {name}, and the weights there are not those that it was made for.",
            "Put the old ones back, or fine-tune the new ones:  homespun finetune",
        )
    return place


def base_named(model: str | Path, place: Path) -> Base:
    """How an adapter is to name its base, so that it is found again from anywhere."""
    found = fingerprint(place)
    if model in PACKAGED:
        return Base(str(model), fingerprint=found)
    if Path(model).expanduser().exists():
        return Base(str(place.resolve()), fingerprint=found)
    name = str(model).partition("@")[0]
    return Base(name, revision=place.name, fingerprint=found)  # the hub's cache calls the folder after the commit


def fingerprint(place: Path) -> str:
    """A hash that tells whether a model's weights are still the same, without reading all of them.

    place: a model folder or a .gguf file. Raises CheckpointError.
    """
    files = [place] if place.is_file() else weight_files(place)
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for piece in range(PIECES):
                file.seek(piece * max(PIECE_BYTES, (size - PIECE_BYTES) // (PIECES - 1)))
                digest.update(file.read(PIECE_BYTES))
    return digest.hexdigest()
