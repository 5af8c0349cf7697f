"""The weights of a model folder: headers first, held against the config, and only then the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from homespun.checkpoint.fields import read_json
from homespun.checkpoint.hf_names import counterpart
from homespun.checkpoint.layout import Layout, layout
from homespun.checkpoint.place import INDEX, WEIGHTS, no_weights
from homespun.checkpoint.stored_names import usual_names
from homespun.checkpoint.tensors import DTYPES, StoredTensor, TensorReader, opened, read_header
from homespun.errors import CheckpointError
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig, ModelConfig
from homespun.model.gpt import build

FLOATS = ("F64", "F32", "F16", "BF16")
FIRST_BLOCK = "blocks.0."
LARGEST_INDEX = 2**24  # bytes


def to_stored(model: CausalLM) -> dict[str, Tensor]:
    """The model's weights by the names and in the layout of the file."""
    weights = model.state_dict()
    stored = {}
    for tensor in layout(model.config, weights):
        whole = tensor.join([weights[name] for name in tensor.parts])
        stored[tensor.name] = whole.t() if tensor.transposed else whole
    return stored


def from_stored(
    stored: Mapping[str, StoredTensor],
    tensors: Iterable[Layout],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    device: torch.device | str,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """The model's weights by our own names, read one tensor at a time. shapes are the model's."""
    weights: dict[str, Tensor] = {}
    with TensorReader() as reader:
        for tensor in tensors:
            whole = reader.read(stored[tensor.name], device=device, dtype=dtype)
            if tensor.transposed:
                whole = whole.t()
            parts = tensor.cut(whole, [shapes[name][0] for name in tensor.parts])
            if len(parts) > 1:  # each in memory of its own: what takes over one part is not to keep all of them
                parts = [part.clone(memory_format=torch.contiguous_format) for part in parts]
            weights.update(zip(tensor.parts, (part.contiguous() for part in parts), strict=True))
    return weights


def find_tensors(folder: Path, config: ModelConfig) -> dict[str, StoredTensor]:
    """What the headers of the folder's files say, by the names of `layout`. Raises CheckpointError."""
    headers = [tensor for path in weight_files(folder) for tensor in read_header(path).values()]
    usual = usual_names((tensor.name for tensor in headers), config)
    stored: dict[str, StoredTensor] = {}
    for tensor in headers:
        name, path = usual[tensor.name], tensor.path
        if name in stored:
            raise CheckpointError(
                f"{folder}: {name} is there twice, in {stored[name].path.name} and in {path.name}.",
                "Take away the file that does not belong to this model.",
            )
        if name:
            stored[name] = tensor
    theirs = counterpart(config)
    if theirs is not None and config.tied_head:
        drop_tied_head(folder, stored, theirs.names)
    return stored


def weight_files(folder: Path) -> list[Path]:
    """model.safetensors, or the files that its index names."""
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        raise CheckpointError(*no_weights(folder))
    places = read_json(folder / INDEX, LARGEST_INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise CheckpointError(
            f"{folder / INDEX} is damaged: its weight_map names no files.", "Get the file again."
        )
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{folder / INDEX} names a file that cannot be: {name[:80]!r}.",
                "Weights lie beside their index and end in .safetensors.",
            )
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder} is incomplete: {name}, one of {len(names)} files of weights, is missing.",
                "Get that file too, from where the others come from.",
            )
    return [folder / name for name in names]


def has_no_head(folder: Path, config: ModelConfig) -> bool:
    """Whether the weights are there, and no head among them. Raises CheckpointError where they are damaged."""
    try:
        paths = weight_files(folder)
    except CheckpointError:
        return False  # whoever reads them says what is wrong
    names = [name for path in paths for name in read_header(path)]
    return bool(names) and head_of(config) not in usual_names(names, config).values()


def head_of(config: ModelConfig) -> str:
    """What the head's matrix is called in the file."""
    theirs = counterpart(config)
    return f"{theirs.names['head'] if theirs else 'head'}.weight"


def drop_tied_head(folder: Path, stored: dict[str, StoredTensor], names: Mapping[str, str]) -> None:
    """Some writers store a tied head as well. It is let go, where it is the embedding indeed."""
    name = f"{names['head']}.weight"
    head, embedding = stored.get(name), stored.get(f"{names['token_embedding']}.weight")
    if head is None or embedding is None or (head.shape, head.code) != (embedding.shape, embedding.code):
        return  # check_tensors has the words for it
    with opened(head.path) as one, opened(embedding.path) as other:
        same = torch.equal(one.get_tensor(head.name), other.get_tensor(embedding.name))
    if not same:
        raise CheckpointError(
            f"{folder}: config.json says that the head is tied to the embedding, but {head.name} is not the same.",
            'If the head was trained on its own, config.json has to say "tie_word_embeddings": false.',
        )
    del stored[name]


def check_tensors(
    folder: Path, expected: Mapping[str, tuple[int, ...]], stored: Mapping[str, StoredTensor], head: str
) -> None:
    """Every tensor that the config asks for is there, in its shape, as floats, and no other is. head: its name."""
    wrong = []
    for name, shape in expected.items():
        found = stored.get(name)
        if found is None:
            wrong.append(f"{name} is missing; expected {list(shape)}")
        elif found.shape != shape:
            wrong.append(f"{name} is {list(found.shape)}; expected {list(shape)}")
        elif found.code not in FLOATS:
            wrong.append(f"{name} is stored as {found.code}; expected {', '.join(FLOATS)}")
    extra = sorted(stored.keys() - expected.keys())
    wrong += [f"{name[:80]} {list(stored[name].shape)} was not expected" for name in extra]
    if expected.keys() - stored.keys() == {head} and len(wrong) == 1:
        raise CheckpointError(
            f"{folder} has no head ({head}): it was saved without it, as AutoModel does.",
            "Get the folder that was saved with its head (AutoModelForCausalLM). If the head is the embedding,\n"
            'config.json has to say "tie_word_embeddings": true.',
        )
    if wrong:
        more = [f"… and {len(wrong) - 4:,} more"] if len(wrong) > 4 else []
        says = f"{folder}: the weights are not those of the model that config.json describes."
        raise CheckpointError(
            "\n  ".join([says, *wrong[:4], *more]),
            "One of the two comes from another model: take both from the same place.",
        )


def shapes_of(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the model's tensors by our names; nothing is allocated.

    One block speaks for all: to build the hundreds that a damaged config may ask for takes seconds.
    """
    model = without_memory(small(config) if isinstance(config, GPTConfig) else config)
    one = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    block = {name: shape for name, shape in one.items() if name.startswith(FIRST_BLOCK)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in one.items():
        if name not in block:
            shapes[name] = shape
        elif name not in shapes:  # here the blocks begin
            for layer in range(config.n_layer):
                shapes.update({inner.replace(FIRST_BLOCK, f"blocks.{layer}."): block[inner] for inner in block})
    return shapes


def small(config: GPTConfig) -> GPTConfig:
    """One block, and no angles of positions where these are rotary: they are no weights."""
    return config.with_(n_layer=1, **({"context_length": 1} if config.position == "rotary" else {}))


def without_memory(config: ModelConfig) -> CausalLM:
    """The model of that config; its weights have shapes and no numbers."""
    with NoWeights():
        return build(config)


class NoWeights(TorchFunctionMode):
    """What is built in here has its weights on the meta device, and nothing is computed there: before its
    first arithmetic on that device, if only to begin with random numbers, torch prepares itself for a second.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if function in (torch.empty, torch.ones, torch.zeros):  # how the layers make their weights
            return torch.empty(*args, **{**kwargs, "device": "meta"})
        return function(*args, **kwargs)


def stored_shape(tensor: Layout, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape in the file, from those of the parts: they stand one below the other."""
    rows = sum(shapes[name][0] for name in tensor.parts)
    shape = (rows, *shapes[tensor.parts[0]][1:])
    return shape[::-1] if tensor.transposed else shape


def common_dtype(stored: Iterable[StoredTensor]) -> torch.dtype:
    """The dtype that all are stored in; float32 where they differ."""
    codes = {tensor.code for tensor in stored}
    return DTYPES[codes.pop()] if len(codes) == 1 else torch.float32
