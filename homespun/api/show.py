"""A description of a model from its folder or file, without using it. No weights are read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.api.past_run import training_of
from homespun.api.portrait import Adapter, Flops, Memory, Origin, Parameters, Portrait, Stored, Tokens
from homespun.errors import CheckpointError

if TYPE_CHECKING:
    from homespun.checkpoint.adapter import AdapterConfig
    from homespun.model.config import ModelConfig
    from homespun.tokenizer.tokenizer import Tokenizer

BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}  # per weight
LONGEST_NAME = 200  # characters of a name from an untrusted file


def show(model: str | Path) -> Portrait:
    """Describe a model by its own metadata, checked against the headers of its weights.

    model: a run folder, a Hugging Face folder, a .gguf file, the folder of an adapter, a hub id, or the name of a
    known small model. Raises CheckpointError, TokenizerError, DownloadFailed, MissingExtra.
    """
    from homespun.checkpoint.adapter import is_adapter
    from homespun.interop.find import find_model

    place = find_model(model)
    if is_adapter(place):
        return portrait_of_adapter(str(model), place)
    if place.is_file() and place.suffix.lower() == ".gguf":
        return portrait_of_file(str(model), place)
    return portrait_of_folder(str(model), place)


def portrait_of_folder(model: str, place: Path) -> Portrait:
    from homespun.checkpoint.folder import consistent_read, load_config
    from homespun.checkpoint.place import model_folder
    from homespun.checkpoint.special_ids import load_tokenizer

    folder = model_folder(place)
    with consistent_read(folder):
        config = load_config(folder)
        stored = stored_in_folder(folder, config)
        tokenizer = load_tokenizer(folder, config)
    training = training_of(folder)
    return Portrait(
        model=model,
        kind="run" if training else "folder",
        stored=stored,
        **of_config(config),
        tokenizer=tokens_of(tokenizer),
        origin=origin_of_place(model, place),
        training=training,
    )


def portrait_of_file(model: str, place: Path) -> Portrait:
    from homespun.checkpoint.special_ids import fitting
    from homespun.checkpoint.weights import shapes_of
    from homespun.interop.gguf.config import config_of
    from homespun.interop.gguf.file import read_gguf
    from homespun.interop.gguf.tokenizer import tokenizer_of
    from homespun.interop.gguf.weights import check_tensors, gguf_layout

    file = read_gguf(place)
    config = config_of(file)
    shapes = shapes_of(config)
    check_tensors(file, config, gguf_layout(config, shapes), shapes)
    tokenizer = fitting(tokenizer_of(file), config.vocab_size, place)
    name = file.settings.get("general.name")
    origin = origin_of_place(model, place)
    types = counted((tensor.type, tensor.shape) for tensor in file.tensors.values())
    return Portrait(
        model=model,
        kind="file",
        stored=Stored(place, 1, place.stat().st_size, types),
        **of_config(config),
        tokenizer=tokens_of(tokenizer),
        origin=replace(origin, name=name[:LONGEST_NAME]) if isinstance(name, str) and name else origin,
    )


def portrait_of_adapter(model: str, place: Path) -> Portrait:
    """The adapter, and its base if that is on this disk."""
    from homespun.checkpoint.adapter import ADAPTER_WEIGHTS, read_adapter_config
    from homespun.checkpoint.tensors import read_header

    adapter = read_adapter_config(place)
    path = place / ADAPTER_WEIGHTS
    header = read_header(path).values()
    base, note = base_portrait(adapter)
    changed = {tensor.name.split(".lora_")[0].rpartition(".")[2] for tensor in header}
    return Portrait(
        model=model,
        kind="adapter",
        stored=Stored(place, 1, path.stat().st_size, counted((tensor.code, tensor.shape) for tensor in header)),
        family=base.family if base else "",
        shape=base.shape if base else None,
        parameters=base.parameters if base else None,
        memory=base.memory if base else None,
        flops=base.flops if base else None,
        tokenizer=own_tokenizer(place) or (base.tokenizer if base else None),
        origin=origin_of_adapter(model, place, adapter, base),
        training=training_of(place),
        adapter=Adapter(
            base=adapter.base.name,
            rank=adapter.rank,
            alpha=adapter.alpha,
            modules=tuple(sorted(changed)),
            parameters=sum(math.prod(tensor.shape) for tensor in header),
            base_is_here=base is not None,
        ),
        notes=(note,) if note else (),
    )


def base_portrait(adapter: AdapterConfig) -> tuple[Portrait | None, str]:
    """The model that an adapter changes, if it is on this disk; otherwise the reason why it is not shown."""
    from homespun.checkpoint.adapter import is_adapter
    from homespun.interop.packaged import PACKAGED

    name = adapter.base.name
    place = Path(name).expanduser()
    if name not in PACKAGED and not place.exists():
        return None, f"its base {name} is not here, so only the changes are shown"
    if place.exists() and is_adapter(place):
        return None, f"its base {name} is an adapter too, so only the changes are shown"
    try:
        return show(name), ""
    except CheckpointError as error:
        return None, f"its base cannot be shown: {error.what}"


def own_tokenizer(place: Path) -> Tokens | None:
    from homespun.tokenizer.open import load as load_tokenizer

    return tokens_of(load_tokenizer(place)) if (place / "tokenizer.json").is_file() else None


# ---- the parts of a portrait ----


def stored_in_folder(folder: Path, config: ModelConfig) -> Stored:
    """The headers of the folder's weight files, checked against the config."""
    from homespun.checkpoint.layout import layout
    from homespun.checkpoint.weights import check_tensors, find_tensors, head_of, shapes_of, stored_shape

    tensors = find_tensors(folder, config)
    shapes = shapes_of(config)
    expected = {tensor.name: stored_shape(tensor, shapes) for tensor in layout(config, shapes)}
    check_tensors(folder, expected, tensors, head_of(config))
    files = {tensor.path for tensor in tensors.values()}
    size = sum(path.stat().st_size for path in files)
    types = counted((tensor.code, tensor.shape) for tensor in tensors.values())
    return Stored(folder, len(files), size, types)


def counted(tensors: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, int]:
    """dtype -> the number of weights that are stored in it, the most frequent first."""
    counts: Counter[str] = Counter()
    for kind, shape in tensors:
        counts[kind] += math.prod(shape)
    return dict(counts.most_common())


def of_config(config: ModelConfig) -> dict[str, Any]:
    """The fields of a portrait that follow from the config alone."""
    from homespun.checkpoint.hf_names import settings_to_json

    total = config.number_of_parameters()
    return {
        "family": config.family,
        "shape": settings_to_json(config),
        "parameters": Parameters(total, config.table_entries()),
        "memory": Memory({kind: total * size for kind, size in BYTES.items()}, config.cache_bytes()),
        "flops": Flops(config.flops_per_token(context=0), config.flops_per_token()),
    }


def tokens_of(tokenizer: Tokenizer) -> Tokens:
    return Tokens(
        kind=tokenizer.kind,
        vocab_size=tokenizer.vocab_size,
        end_of_text=tokenizer.end_of_text_token,
        ends=tuple(tokenizer.token(id) for id in tokenizer.ends),
        special=dict(tokenizer.special_tokens),
        opening=tuple(tokenizer.opening),
        chat_template=tokenizer.settings.get("chat_template") is not None,
    )


def origin_of_place(model: str, place: Path) -> Origin:
    """Licence and base from a model card, or name from a GGUF file; the revision, for a model from the hub."""
    from homespun.interop.origin import CARD, front_matter, origin_of

    found = origin_of(model, place)
    general = found.general
    base = str(general.get("general.base_model.0.name", ""))
    if place.is_file():
        return Origin(found.name, found.license, base)
    revision = place.name if place.parent.name == "snapshots" else ""
    return Origin(found.name, found.license, base or front_matter(place / CARD).get("base_model", ""), revision)


def origin_of_adapter(model: str, place: Path, adapter: AdapterConfig, base: Portrait | None) -> Origin:
    own = origin_of_place(model, place)
    license = own.license or (base.origin.license if base else "")
    return Origin(own.name, license, adapter.base.name, adapter.base.revision)
