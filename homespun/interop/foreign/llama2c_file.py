"""llama2.c's own files: the .bin of its export.py in the versions 0, 1 and 2, without any code in them.

Version 0 begins with seven numbers of 32 bits, the others with the letters `ak42`, a version, and a head of 256
bytes. Then come the weights of all layers, one kind after the other, in float32; in version 2 the matrices in 8
bits, with a scale for every group of numbers. (https://github.com/karpathy/llama2.c, export.py)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from homespun.errors import CheckpointError, ModelError
from homespun.interop.foreign.modules import PERMUTED
from homespun.interop.foreign.names import Described, Part
from homespun.model.config import GPTConfig

MAGIC = 0x616B3432
HEAD = 256  # bytes, from version 1 on
AGAIN = "Take the file from where it comes from again, or write it anew with llama2.c's export.py."

# The kinds of weights in the order of the file; norms come first in the later versions.
NORMS = ("attention_norm", "feed_forward_norm")
MATRICES = (
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.output",
    "feed_forward.gate",
    "feed_forward.down",
    "feed_forward.up",
)
VERSION_0 = ("attention_norm", *MATRICES[:4], "feed_forward_norm", *MATRICES[4:])


@dataclass(frozen=True)
class Stored:
    """One tensor of the file. group: numbers that share a scale; 0 where they are float32."""

    start: int
    shape: tuple[int, ...]
    group: int = 0
    dtype: torch.dtype = torch.float32

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.count + 4 * (self.count // self.group) if self.group else 4 * self.count


@dataclass(frozen=True)
class Head:
    """The numbers at the beginning of a file."""

    version: int
    start: int  # of the weights
    dim: int
    hidden: int
    layers: int
    heads: int
    key_heads: int
    vocab_size: int
    context: int
    tied: bool
    group: int = 0


@dataclass(frozen=True)
class Found:
    model: Described
    tensors: dict[str, Stored]


def is_one(path: Path) -> bool:
    """Whether the file begins as one of llama2.c's: with the magic number, or seven numbers that make a model."""
    with path.open("rb") as file:
        beginning = file.read(28)
    if beginning[:4] == struct.pack("<I", MAGIC):
        return True
    return path.suffix.lower() == ".bin" and not beginning.startswith((b"PK", b"\x80", b"version "))


def described(path: Path) -> tuple[Found, Callable[[Stored], torch.Tensor]]:
    """The model in a .bin file, and what reads one of its tensors. Raises CheckpointError."""
    head = head_of(path)
    try:
        config = GPTConfig.of(
            "llama",
            vocab_size=head.vocab_size,
            context_length=head.context,
            n_layer=head.layers,
            n_head=head.heads,
            n_kv_head=head.key_heads,
            n_embd=head.dim,
            n_inner=head.hidden,
            tied_head=head.tied,
        )
    except ModelError as error:
        raise CheckpointError(f"{path} is no file of llama2.c, or damaged: {error.what}", AGAIN) from error
    tensors = dict(places(head, config))
    size = path.stat().st_size
    least = max(one.start + one.bytes for one in tensors.values())
    if size < least:
        raise CheckpointError(
            f"{path} is no file of llama2.c, or was cut short: its first numbers promise {least:,} bytes, "
            f"and there are {size:,}.",
            AGAIN,
        )
    parts = {name: (Part(name, permute=name.removesuffix(".weight").endswith(PERMUTED)),) for name in tensors}
    kind = f"a file of llama2.c, version {head.version}"
    return Found(Described(kind, config, parts), tensors), lambda stored: numbers(path, stored)


def head_of(path: Path) -> Head:
    with path.open("rb") as file:
        beginning = file.read(HEAD)
    if len(beginning) < 28:
        raise CheckpointError(f"{path} is no file of llama2.c: it has {len(beginning)} bytes.", AGAIN)
    magic, version = struct.unpack("<Ii", beginning[:8])
    if magic != MAGIC:
        dim, hidden, layers, heads, key_heads, vocab_size, context = struct.unpack("<7i", beginning[:28])
        return Head(0, 28, dim, hidden, layers, heads, key_heads, abs(vocab_size), context, vocab_size > 0)
    if version not in (1, 2) or len(beginning) < HEAD:
        raise CheckpointError(
            f"{path} is a file of llama2.c of version {version}.", "homespun reads the versions 0, 1 and 2."
        )
    dim, hidden, layers, heads, key_heads, vocab_size, context, tied = struct.unpack("<7iB", beginning[8:37])
    group = struct.unpack("<i", beginning[37:41])[0] if version == 2 else 0
    if version == 2 and not 1 <= group <= 2**16:
        raise CheckpointError(f"{path} is damaged: it says that {group} numbers share a scale.", AGAIN)
    return Head(
        version, HEAD, dim, hidden, layers, heads, key_heads, vocab_size, context, tied=bool(tied), group=group
    )


def places(head: Head, config: GPTConfig) -> Iterator[tuple[str, Stored]]:
    """Where each tensor lies, by our names."""
    c, inner, keys, queries = config.n_embd, config.n_inner, config.key_width, config.query_width
    shapes: dict[str, tuple[int, ...]] = {
        "attention_norm": (c,),
        "feed_forward_norm": (c,),
        "attention.query": (queries, c),
        "attention.key": (keys, c),
        "attention.value": (keys, c),
        "attention.output": (c, queries),
        "feed_forward.gate": (inner, c),
        "feed_forward.up": (inner, c),
        "feed_forward.down": (c, inner),
    }
    table = (config.vocab_size, c)
    at = head.start

    def put(name: str, shape: tuple[int, ...], group: int = 0) -> tuple[str, Stored]:
        nonlocal at
        stored = Stored(at, shape, group)
        at += stored.bytes
        return name, stored

    def all_layers(kinds: tuple[str, ...], group: int = 0) -> Iterator[tuple[str, Stored]]:
        for kind in kinds:
            for layer in range(config.n_layer):
                yield put(f"blocks.{layer}.{kind}.weight", shapes[kind], group)

    if head.version == 0:
        yield put("token_embedding.weight", table)
        yield from all_layers(VERSION_0)
        yield put("final_norm.weight", (c,))
        at += 4 * config.context_length * config.head_width  # the cosines and sines, which follow from the rest
        if not head.tied:
            yield put("head.weight", table)
        return
    yield from all_layers(NORMS)
    yield put("final_norm.weight", (c,))
    yield put("token_embedding.weight", table, head.group)
    yield from all_layers(MATRICES, head.group)
    if not head.tied:
        yield put("head.weight", table, head.group)


def numbers(path: Path, stored: Stored) -> torch.Tensor:
    """One tensor in float32."""
    with path.open("rb") as file:
        file.seek(stored.start)
        if not stored.group:
            return torch.from_numpy(floats(file, stored.count, path)).view(stored.shape)
        if stored.count % stored.group:
            raise CheckpointError(f"{path} is damaged: its matrices are no whole groups of {stored.group}.", AGAIN)
        whole = np.frombuffer(exactly(file, stored.count, path), np.int8).astype(np.float32)
        scales = floats(file, stored.count // stored.group, path)
    return torch.from_numpy(whole.reshape(-1, stored.group) * scales[:, None]).view(stored.shape)


def floats(file: BinaryIO, count: int, path: Path) -> np.ndarray:
    return np.frombuffer(exactly(file, 4 * count, path), "<f4").astype(np.float32)


def exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise CheckpointError(f"{path} became shorter while it was read.", "Try again.")
    return found
