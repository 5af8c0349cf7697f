"""The model folder: config.json, model.safetensors and the tokenizer, in the names of Hugging Face.

A folder is trusted with nothing. Its config and the headers of its weights are read and
held against each other first; memory is taken only when every tensor is there in the
right shape. Pickled weights are never opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from homespun.checkpoint.fields import read_json
from homespun.checkpoint.hf_names import counterpart, from_hf, generation_to_hf, to_hf
from homespun.checkpoint.layout import layout
from homespun.checkpoint.place import CONFIG, GENERATION, WEIGHTS, model_folder
from homespun.checkpoint.special_ids import generation_text, load_tokenizer
from homespun.checkpoint.tensors import check_memory, write_tensors
from homespun.checkpoint.weights import (
    check_tensors,
    common_dtype,
    find_tensors,
    from_stored,
    has_no_head,
    head_of,
    shapes_of,
    stored_shape,
    to_stored,
    without_memory,
)
from homespun.errors import CheckpointError, HomespunError, warn
from homespun.machine.atomic import json_text, replacing_files
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig, ModelConfig
from homespun.model.gpt import GPT

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer

MOST_ROTARY_NUMBERS = 2**27  # 0.5 GiB of angles: a context of a million tokens with the usual heads


def save_model(
    folder: str | Path,
    model: CausalLM,
    tokenizer: Tokenizer,
    *,
    generation: Mapping[str, Any] | None = None,
    generation_config: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes the model folder: whole, or (disk full, process killed) as it was before.

    generation: how to sample from it when nobody says, by our names: max_tokens, temperature,
    top_k, top_p, min_p, repetition_penalty. generation_config: the same in the words of that file, in its place.
    Which ids begin and end a text, the tokenizer says. dtype: what the weights are stored as. Raises WriteFailed.
    """
    assert isinstance(model, CausalLM), "unwrap the model first: a compiled or distributed one has other names"
    stated = tokenizer.special_ids
    config = to_hf(model.config, special_ids=stated.config, dtype=str(dtype).removeprefix("torch."))
    with replacing_files(folder, seal=CONFIG) as stage:
        tokenizer.save(stage)
        writing = generation_text(stated.generation, generation_config or generation_to_hf(generation or {}))
        (stage / GENERATION).write_text(writing, encoding="utf-8")
        write_tensors(stage / WEIGHTS, to_stored(model), metadata={"format": "pt"}, dtype=dtype)
        (stage / CONFIG).write_text(json_text(config), encoding="utf-8")


def load_model(
    folder: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[CausalLM, Tokenizer]:
    """The model and the tokenizer of a folder; the model in eval mode.

    dtype: None takes the weights as they are stored. Raises CheckpointError where the folder
    is missing or incomplete, or says something that is not so, and TokenizerError.
    """
    folder = model_folder(folder)
    with consistent_read(folder):
        config = load_config(folder)
        tokenizer = load_tokenizer(folder, config)
        model = read_model(folder, config, device, dtype)
    return model, tokenizer


def load_config(folder: str | Path) -> ModelConfig:
    """What config.json says; of the weights only the names are read, and only where it leaves the head open.

    Raises CheckpointError.
    """
    path = model_folder(folder) / CONFIG
    values = read_json(path)
    config = from_hf(values, str(path))
    if isinstance(config, GPTConfig):
        check_context(config, str(path))
        if not config.tied_head and leaves_head_open(values, config) and has_no_head(path.parent, config):
            warn(f"{path.parent} has no head and does not say so (tie_word_embeddings): it is the embedding")
            return config.with_(tied_head=True)
    return config


def leaves_head_open(values: Mapping[str, Any], config: GPTConfig) -> bool:
    """Whether the config of a foreign model does not say if head and embedding are one table."""
    return counterpart(config) is not None and values.get("tie_word_embeddings") is None


def check_context(config: GPTConfig, origin: str) -> None:
    """Where positions are rotary no weight has the length of the context: nothing else would catch a lie."""
    most = MOST_ROTARY_NUMBERS // config.head_width
    if config.position == "rotary" and config.context_length > most:
        raise CheckpointError(
            f"{origin} speaks of a context of {config.context_length:,} tokens.",
            f"With heads {config.head_width} wide homespun goes up to {most:,}.",
        )


def load_weights(
    folder: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> CausalLM:
    """The model alone, as `load_model` gives it."""
    folder = model_folder(folder)
    with consistent_read(folder):
        return read_model(folder, load_config(folder), device, dtype)


def read_model(
    folder: Path, config: ModelConfig, device: torch.device | str, dtype: torch.dtype | None
) -> CausalLM:
    stored = find_tensors(folder, config)
    shapes = shapes_of(config)
    tensors = layout(config, shapes)
    expected = {tensor.name: stored_shape(tensor, shapes) for tensor in tensors}
    check_tensors(folder, expected, stored, head_of(config))
    dtype = dtype or common_dtype(stored.values())
    if torch.device(device).type == "cpu":
        check_memory(folder, sum(map(math.prod, expected.values())) * dtype.itemsize)
    return assemble(config, from_stored(stored, tensors, shapes, device=device, dtype=dtype), device)


def assemble(config: ModelConfig, weights: Mapping[str, torch.Tensor], device: torch.device | str) -> CausalLM:
    """The model of that config with these weights, by our names, in eval mode. It takes over their memory."""
    model = without_memory(config)
    model.load_state_dict(weights, strict=False, assign=True)
    if isinstance(model, GPT):
        complete(model, device)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    return model.eval()


def complete(model: GPT, device: torch.device | str) -> None:
    """What a GPT has and a file has not: the other name of a tied head, and the angles of its positions."""
    if model.config.tied_head:
        model.head.weight = model.token_embedding.weight
    for name, angles in model.named_buffers(
        recurse=False
    ):  # in float32 whatever the dtype, as the model made them
        setattr(model, name, angles.to(device))


@contextmanager
def consistent_read(folder: Path) -> Iterator[None]:
    """Raises CheckpointError where another process put another model there meanwhile.

    config.json is the seal (see `replacing_files`): the same before and after, and
    everything that was read between belongs together.
    """
    before = stamp(folder / CONFIG)
    problem: HomespunError | None = None
    try:
        yield
    except HomespunError as error:
        problem = error
    if stamp(folder / CONFIG) != before:
        raise CheckpointError(f"{folder} was written to while it was read.", "Try again.") from problem
    if problem is not None:
        raise problem


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when the file is replaced; None where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
