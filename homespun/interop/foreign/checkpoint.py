"""A checkpoint of the lecture's repositories as an ordinary model of ours: ckpt.pt, model.pt, llama2.c's .bin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from homespun.checkpoint.fields import read_json
from homespun.checkpoint.folder import assemble, leaves_head_open
from homespun.checkpoint.hf_names import counterpart, from_hf, model_type_of
from homespun.checkpoint.layout import layout
from homespun.checkpoint.stored_names import bare, usual_names
from homespun.checkpoint.tensors import check_memory
from homespun.checkpoint.weights import head_of, shapes_of
from homespun.errors import CheckpointError
from homespun.interop.foreign import llama2c_file
from homespun.interop.foreign.names import AGAIN, NOT_WEIGHTS, Described, Part, State, Wishes, described
from homespun.interop.foreign.pickles import Record
from homespun.interop.foreign.torch_file import TorchFile, check_apart, tensors_in
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig

STATE_DICTS = ("model", "state_dict", "model_state_dict", "model_state")  # what scripts call it in a checkpoint
SETTINGS = ("model_args", "config", "gpt_config", "model_config", "args")
BESIDE = "config.json"  # minGPT writes its settings there
PARAMETERS = "params.json"
LARGEST_CONFIG = 2**20

Read = Callable[[Any], torch.Tensor]


@dataclass
class Opened:
    """A checkpoint that was opened: what it is, its weights by our names, and what else stands in the file.

    data_set: the name that nanoGPT's settings give to the data, or "". tokenizer: where it is, where that is
    known.
    """

    path: Path
    what: Described
    weights: dict[str, torch.Tensor]
    data_set: str = ""
    tokenizer: str | None = None
    notes: list[str] = field(default_factory=list)

    def model(self, rival: int | None = None) -> CausalLM:
        """The model, in eval mode. rival: of the other configs that fit, which one."""
        config = self.what.config if rival is None else self.what.rivals[rival]
        weights = (
            {name: weight.clone() for name, weight in self.weights.items()} if self.what.rivals else self.weights
        )
        return assemble(config, weights, "cpu")


def open_checkpoint(path: Path, wishes: Wishes) -> Opened:
    """Read a checkpoint without executing anything in it. Raises CheckpointError, UsageError."""
    if not path.is_file():
        is_there = "is a folder" if path.is_dir() else "is not there" if not path.exists() else "is no file"
        raise CheckpointError(
            f"{path} {is_there}, and a checkpoint is a file.",
            "Give the file itself: ckpt.pt, model.pt, model.bin.",
        )
    if llama2c_file.is_one(path):
        what, read = llama2c_file.described(path)
        tensors: Mapping[str, Any] = what.tensors
        return Opened(path, what.model, weights_of(path, what.model, tensors, read))
    file = TorchFile(path)
    state = state_in(file)
    check_apart(state.tensors, path)
    if (config := config_beside(path)) is not None:
        return opened_with(config, path, state, file)
    found = described(state, wishes)
    weights = weights_of(path, found, state.tensors, file.read)
    return Opened(path, found, weights, data_set_of(file.value), notes=list(found.notes))


def config_beside(path: Path) -> dict[str, Any] | None:
    """The config.json of a Hugging Face folder that a file of weights lies in; None where there is no such."""
    beside = path.with_name(BESIDE)
    values = read_json(beside, LARGEST_CONFIG) if beside.is_file() else {}
    return values if model_type_of(values) is not None else None


def opened_with(values: dict[str, Any], path: Path, state: State, file: TorchFile) -> Opened:
    """The model of a Hugging Face folder, whose weights are in the names of transformers: pytorch_model.bin."""
    config = from_hf(values, str(path.with_name(BESIDE)))
    usual = {usual: stored for stored, usual in usual_names(state.tensors, config).items() if usual}
    shapes = shapes_of(config)
    head = head_of(config)
    if isinstance(config, GPTConfig) and counterpart(config) and not config.tied_head and head not in usual:
        if not leaves_head_open(values, config):
            raise CheckpointError(f"{path} has no head ({head}).", "Get the file of the whole model.")
        config = config.with_(tied_head=True)
    parts: dict[str, tuple[Part, ...]] = {}
    for tensor in layout(config, shapes):
        several = len(tensor.parts)
        if tensor.heads or len({shapes[name][0] for name in tensor.parts}) > 1:
            raise CheckpointError(
                f"{path}: {tensor.name} holds {several} matrices; homespun takes them apart in .safetensors only.",
                "Take the same model as .safetensors.",
            )
        for at, ours in enumerate(tensor.parts):
            parts[ours] = (Part(usual.get(tensor.name, tensor.name), (at, several), tensor.transposed),)
    stored = set(usual.values())
    tensors = {name: tensor for name, tensor in state.tensors.items() if name in stored}
    what = Described("the weights of a Hugging Face folder", config, parts)
    return Opened(path, what, weights_of(path, what, tensors, file.read), tokenizer=str(path.parent))


def state_in(file: TorchFile) -> State:
    """The state dict of a checkpoint, and the settings of its model."""
    value = file.value
    if not isinstance(value, dict):
        kind = f"an object of {value.name}" if isinstance(value, Record) else f"a {type(value).__name__}"
        raise CheckpointError(
            f"{file.path} holds {kind}, and no state dict.",
            "Save the weights alone where it was made: torch.save(model.state_dict(), FILE).",
        )
    inside = next((value[name] for name in STATE_DICTS if tensors_in(value.get(name))), value)
    tensors = {bare(name): tensor for name, tensor in tensors_in(inside).items()}
    if len(tensors) < len(tensors_in(inside)):
        raise CheckpointError(f"{file.path} has two tensors of one name.", AGAIN)
    if not tensors:
        raise CheckpointError(f"{file.path} has no weights in it.", AGAIN)
    settings: dict[str, Any] = {}
    for name in SETTINGS:
        settings = fields_of(value.get(name)) | settings
    if not settings:
        settings = settings_beside(file.path)
    return State(tensors, settings, str(file.path), has_arguments=isinstance(value.get("model_args"), dict))


def fields_of(value: Any) -> dict[str, Any]:
    """The settings in a dict or a record of a checkpoint; those of its part `model`, too."""
    fields = value.fields if isinstance(value, Record) else value
    if not isinstance(fields, dict):
        return {}
    inner = fields.get("model")
    return {**{str(name): one for name, one in fields.items()}, **(fields_of(inner) if inner is not value else {})}


def settings_beside(path: Path) -> dict[str, Any]:
    """minGPT keeps them in a config.json beside its model.pt, Meta's Llama in a params.json."""
    beside = next((place for name in (BESIDE, PARAMETERS) if (place := path.with_name(name)).is_file()), None)
    return {} if beside is None else fields_of(read_json(beside, LARGEST_CONFIG))


def data_set_of(value: Any) -> str:
    """The name of the data in nanoGPT's settings; "" where that is no plain name of a folder."""
    config = value.get("config") if isinstance(value, dict) else None
    name = config.get("dataset") if isinstance(config, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= 100 or name in (".", ".."):
        return ""
    return name if name == Path(name).name else ""


# ---- the numbers ----


def weights_of(path: Path, what: Described, tensors: Mapping[str, Any], read: Read) -> dict[str, torch.Tensor]:
    """The model's weights by our names: every shape is checked before a number is read. Raises CheckpointError."""
    shapes = shapes_of(what.config)
    if isinstance(what.config, GPTConfig) and what.config.tied_head:
        shapes = {name: shape for name, shape in shapes.items() if name != "head.weight"}
    assert shapes.keys() == what.parts.keys(), sorted(shapes.keys() ^ what.parts.keys())
    used = {part.name for parts in what.parts.values() for part in parts}
    strange = [name for name in tensors if name not in used and not NOT_WEIGHTS.search(name) and not is_head(name)]
    if strange:
        shown = ", ".join(name[:60] for name in strange[:4])
        raise CheckpointError(
            f"{path} has the names of {what.kind}, and {len(strange):,} tensors more: {shown}.",
            "It is the model of a changed script. homespun has no model with these parts.",
        )
    for name, parts in what.parts.items():
        check_shapes(path, name, parts, shapes[name], tensors)
    check_memory(path, 4 * sum(map(math.prod, shapes.values())))
    weights = {}
    for name, parts in what.parts.items():
        pieces = [numbers(part, shapes[name], tensors, read, what) for part in parts]
        weights[name] = (torch.cat(pieces) if len(pieces) > 1 else pieces[0]).view(shapes[name])
    return weights


def is_head(name: str) -> bool:
    """A head that is tied is not needed again."""
    return name in ("lm_head.weight", "head.weight", "output.weight")


def check_shapes(
    path: Path, name: str, parts: tuple[Part, ...], shape: tuple[int, ...], tensors: Mapping[str, Any]
) -> None:
    rows = shape[0] // len(parts)
    for part in parts:
        if not part.name:
            continue
        tensor = tensors.get(part.name)
        if tensor is None:
            raise CheckpointError(f"{path}: {part.name} is missing.", AGAIN)
        expected = (rows * part.rows[1], *shape[1:])
        expected = expected[::-1] if part.transposed else expected
        if tuple(size for size in tensor.shape if size != 1) != tuple(size for size in expected if size != 1):
            raise CheckpointError(
                f"{path}: {part.name} has the shape {list(tensor.shape)}; expected {list(expected)}.",
                "The weights and the settings in it are not of one model: take it from where it comes from again.",
            )
        if not tensor.dtype.is_floating_point:
            raise CheckpointError(f"{path}: {part.name} is stored as {tensor.dtype}, and no floats.", AGAIN)


def numbers(
    part: Part, shape: tuple[int, ...], tensors: Mapping[str, Any], read: Read, what: Described
) -> torch.Tensor:
    """One part of a tensor of ours, in float32."""
    if not part.name:
        return torch.zeros(shape)
    whole = read(tensors[part.name]).float()
    whole = whole.t() if part.transposed and whole.dim() == 2 else whole
    if part.rows[1] > 1:
        at, count = part.rows
        whole = whole[at * len(whole) // count : (at + 1) * len(whole) // count]
    if part.permute:
        assert isinstance(what.config, GPTConfig)
        width = what.config.head_width
        whole = whole.unflatten(0, (-1, width // 2, 2)).transpose(1, 2).flatten(0, 2)
    return whole.contiguous().clone()
