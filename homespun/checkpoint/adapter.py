"""An adapter on disk: small changes to the matrices of a model that lies elsewhere, as PEFT's LoRA keeps them.

A matrix W (out, in) becomes W + scale · B A, with A (rank, in) and B (out, rank) (Hu et al. 2021, arXiv
2106.09685). The folder holds adapter_config.json and adapter_model.safetensors, in the names of Hugging Face's
model: `peft` loads it onto the same model there. Some models have queries, keys and values in one matrix in that
world, and three here: on the way out their changes are put together as blocks, on the way in they are cut apart.

Like a model folder it is trusted with nothing: what it asks for and we do not have is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from homespun.checkpoint.fields import Fields, brief, read_json
from homespun.checkpoint.hf_names import counterpart
from homespun.checkpoint.layout import Layout, layout
from homespun.checkpoint.place import GENERATION, INDEX, WEIGHTS
from homespun.checkpoint.special_ids import generation_text
from homespun.checkpoint.tensors import opened, read_header, write_tensors
from homespun.checkpoint.weights import FLOATS, shapes_of
from homespun.errors import CheckpointError
from homespun.machine.atomic import json_text, replacing_files
from homespun.model.config import GPTConfig

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer

ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
FINGERPRINT = "homespun_base"  # in the weights' header: of which weights these are the changes
HIGHEST_RANK = 4096
NAME = re.compile(re.escape(PREFIX) + r"(?P<module>[\w.]+)\.lora_(?P<side>[AB])(\.default)?\.weight")

# PEFT's settings that we do not have, with the value that means "nothing of the kind".
MUST_BE = {
    "use_dora": False,
    "bias": "none",
    "lora_bias": False,
    "layer_replication": None,
    "modules_to_save": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "alora_invocation_tokens": None,
    "use_qalora": False,
}


@dataclass(frozen=True)
class Change:
    """What becomes of one matrix (out, in) of ours: + scale · b @ a. a (rank, in), b (out, rank), both float32."""

    a: Tensor
    b: Tensor
    scale: float

    def delta(self) -> Tensor:
        return self.scale * (self.b @ self.a)


@dataclass(frozen=True)
class Base:
    """The model that an adapter belongs to: its name, its revision on the hub, a fingerprint of its weights."""

    name: str
    revision: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class AdapterConfig:
    """What adapter_config.json says, as far as it matters."""

    base: Base
    rank: int
    alpha: float
    root: bool = False  # the scale is alpha / √rank (Kalajdzievski 2023, arXiv 2312.03732), not alpha / rank
    ranks: Mapping[str, int] = field(default_factory=dict)  # of modules whose name ends so
    alphas: Mapping[str, float] = field(default_factory=dict)

    def scale(self, module: str) -> float:
        rank = of_module(self.ranks, module, self.rank)
        return of_module(self.alphas, module, self.alpha) / (math.sqrt(rank) if self.root else rank)


def of_module(pattern: Mapping[str, Any], module: str, usual: Any) -> Any:
    """PEFT's patterns: a name holds for every module that ends with it.

    >>> of_module({"c_attn": 24}, "transformer.h.0.attn.c_attn", 8)
    24
    """
    found = (value for name, value in pattern.items() if module == name or module.endswith(f".{name}"))
    return next(found, usual)


def modules_of(config: GPTConfig) -> dict[str, Layout]:
    """The matrices of the blocks by their names in Hugging Face's model, and which of ours stand in each."""
    names = [name for name, shape in shapes_of(config).items() if name.startswith("blocks.") and len(shape) == 2]
    return {tensor.name.removesuffix(".weight"): tensor for tensor in layout(config, names)}


# ---- out ----


def write_adapter(
    folder: str | Path,
    config: GPTConfig,
    changes: Mapping[str, Change],
    tokenizer: Tokenizer,
    *,
    base: Base,
    rank: int,
    alpha: float,
) -> None:
    """Writes the adapter folder, whole or not at all. changes: by our names of the matrices, all of that rank.

    Beside what PEFT reads stands generation_config.json: which ids end a text, where there are several.
    Raises WriteFailed.
    """
    theirs = counterpart(config)
    assert theirs is not None, "what has no counterpart elsewhere is trained in full"
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for module, tensor in modules_of(config).items():
        there = [changes[part] for part in tensor.parts if part in changes]
        if not there:
            continue
        assert len(there) == len(tensor.parts), f"{module} is changed in part"
        blocks = torch.block_diag(*(change.b for change in there)).split([len(change.b) for change in there])
        tensors[f"{PREFIX}{module}.lora_A.weight"] = torch.cat([change.a for change in there])
        tensors[f"{PREFIX}{module}.lora_B.weight"] = tensor.join(blocks)
        if len(there) > 1:  # blocks side by side: the rank is their sum, and the scale has to stay
            ranks[module.rsplit(".", 1)[1]] = rank * len(there)
            alphas[module.rsplit(".", 1)[1]] = alpha * len(there)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "revision": base.revision or None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": bool(theirs.transposed),
        "target_modules": sorted({name.split(".")[-3] for name in tensors}),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }
    header = {"format": "pt", FINGERPRINT: base.fingerprint}
    with replacing_files(folder, seal=ADAPTER) as stage:
        tokenizer.save(stage)
        writing = generation_text(tokenizer.special_ids.generation, {})
        (stage / GENERATION).write_text(writing, encoding="utf-8")
        write_tensors(stage / ADAPTER_WEIGHTS, tensors, metadata=header, dtype=torch.float32)
        (stage / ADAPTER).write_text(json_text(settings), encoding="utf-8")


# ---- in ----


def is_adapter(path: Path) -> bool:
    """Whether that is the folder of an adapter, and not of a whole model (which some folders are beside it)."""
    try:
        return (path / ADAPTER).is_file() and not any((path / name).exists() for name in (WEIGHTS, INDEX))
    except OSError:
        return False


def read_adapter_config(folder: Path) -> AdapterConfig:
    """What it changes, and of what. Raises CheckpointError where it is damaged or asks for what we do not have."""
    path = folder / ADAPTER
    values = read_json(path)
    file = Fields(values, str(path))
    file.one_of("peft_type", ("LORA",))
    file.one_of("task_type", ("CAUSAL_LM",), "CAUSAL_LM")
    for name, nothing in MUST_BE.items():
        value = values.get(name, nothing)
        if value != nothing and value not in ([], {}):
            raise CheckpointError(
                f"{path}: {name} is {brief(value)}. homespun does not have that kind of adapter.",
                "Merge it where it was made (merge_and_unload in peft), and give the folder of the whole model.",
            )
    base = values.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(
            f"{path} does not say which model it belongs to.",
            "Write that model into it, as base_model_name_or_path: a folder, a hub id, or smollm2.",
        )
    revision = values.get("revision")
    return AdapterConfig(
        base=Base(base, revision if isinstance(revision, str) else "", fingerprint_in(folder / ADAPTER_WEIGHTS)),
        rank=file.whole("r", 1, HIGHEST_RANK),
        alpha=file.number("lora_alpha", 0.0, 1e6),
        root=file.flag("use_rslora", False),
        ranks=pattern(file, "rank_pattern", int),
        alphas=pattern(file, "alpha_pattern", float),
    )


def pattern(file: Fields, name: str, kind: type) -> dict[str, Any]:
    values = file.values.get(name) or {}
    numbers = values.values() if isinstance(values, dict) else [None]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 for value in numbers):
        file.refuse(name, values, "names with a number above nothing each")
    if any(re.search(r"[^\w.]", key) for key in values):
        file.refuse(name, values, "names of modules; not expressions that fit several")
    return {key: kind(value) for key, value in values.items()}


def fingerprint_in(path: Path) -> str:
    """Of the base's weights, where the adapter was made by homespun; "" elsewhere. Raises CheckpointError."""
    read_header(path)  # has the words for what may be wrong with the file
    with opened(path) as file:
        return str((file.metadata() or {}).get(FINGERPRINT, ""))


def read_changes(folder: Path, adapter: AdapterConfig, config: GPTConfig) -> dict[str, Change]:
    """The changes by the names of our matrices. CheckpointError where they do not fit a model of that config."""
    path = folder / ADAPTER_WEIGHTS
    modules = modules_of(config)
    shapes = shapes_of(config)
    pairs: dict[str, dict[str, Tensor]] = {}
    with opened(path) as file:
        for stored in read_header(path).values():
            match = NAME.fullmatch(stored.name)
            if match is None or match["module"] not in modules:
                raise CheckpointError(
                    f"{path}: it changes {stored.name[:120]}, and homespun merges changes to the matrices of the "
                    f"blocks of {config.family} models only.",
                    f"Is its base really {adapter.base.name}? Otherwise merge it where it was made "
                    "(merge_and_unload in peft), and give the folder of the whole model.",
                )
            if stored.code not in FLOATS or len(stored.shape) != 2:
                raise CheckpointError(
                    f"{path}: {stored.name} is {list(stored.shape)} of {stored.code}, and not a matrix of floats.",
                    "Get the file again.",
                )
            pairs.setdefault(match["module"], {})[match["side"]] = file.get_tensor(stored.name).float().clone()
    if not pairs:
        raise CheckpointError(f"{path} is empty: it changes nothing.", "Get the file again.")
    changes: dict[str, Change] = {}
    for module, pair in pairs.items():
        tensor = modules[module]
        rows = [shapes[part][0] for part in tensor.parts]
        rank = of_module(adapter.ranks, module, adapter.rank)
        check_pair(path, module, pair, rank, sum(rows), shapes[tensor.parts[0]][1])
        for part, b in zip(tensor.parts, tensor.cut(pair["B"], rows), strict=True):
            changes[part] = Change(pair["A"], b, adapter.scale(module))
    return changes


def check_pair(path: Path, module: str, pair: Mapping[str, Tensor], rank: int, outputs: int, inputs: int) -> None:
    found = {side: list(tensor.shape) for side, tensor in pair.items()}
    expected = {"A": [rank, inputs], "B": [outputs, rank]}
    if found == expected:
        return
    raise CheckpointError(
        f"{path}: for {module}, lora_A is {found.get('A', 'missing')} and lora_B {found.get('B', 'missing')}; "
        f"the model wants {expected['A']} and {expected['B']}.",
        "The adapter belongs to another model, or adapter_config.json to another adapter.",
    )
