"""Where the parameters of a model are, and a weight matrix as a picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from homespun.errors import UsageError
from homespun.model.causal_lm import CausalLM

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SIDE = 1024  # pixels
HOWS = ("mean", "extreme")
# What the last words of a parameter's name say of it, the first that fits.
KINDS = {
    r"^table\.": "table of logits",
    r"^token_embedding\.": "token embedding",
    r"^position_embedding\.": "position embedding",
    r"^head\.": "head",
    r"norm\b": "norm",
    r"attention\.query\.": "attention: query",
    r"attention\.key\.": "attention: key",
    r"attention\.value\.": "attention: value",
    r"attention\.output\.": "attention: output",
    r"feed_forward\.up\.": "feed-forward: up",
    r"feed_forward\.gate\.": "feed-forward: gate",
    r"feed_forward\.down\.": "feed-forward: down",
}


@dataclass(frozen=True)
class Parameter:
    """One tensor of the model.

    name   by which the module has it: "blocks.0.attention.query.weight"
    layer  the index of its block; None outside of the blocks
    kind   what it is for: "attention: query", "feed-forward: up", "norm", …
    shape  of a matrix (outputs, inputs); count: its numbers
    std    the standard deviation of its numbers; mean: their mean
    shared other names of the same tensor: a head that is tied to the embedding
    """

    name: str
    layer: int | None
    kind: str
    shape: tuple[int, ...]
    count: int
    mean: float
    std: float
    shared: tuple[str, ...]


@dataclass(frozen=True)
class Parameters:
    """All parameters of a model, in the order in which a token meets them. total: each tensor counted once."""

    total: int
    tensors: tuple[Parameter, ...]

    def by_kind(self) -> dict[str, int]:
        """Kind -> how many parameters are of it."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.kind] = counts.get(tensor.kind, 0) + tensor.count
        return counts

    def by_layer(self) -> dict[int | None, int]:
        """Layer -> how many parameters it has; None: those outside of the blocks."""
        counts: dict[int | None, int] = {}
        for tensor in self.tensors:
            counts[tensor.layer] = counts.get(tensor.layer, 0) + tensor.count
        return counts

    def as_object(self) -> dict[str, Any]:
        """The parameters as JSON."""
        return {
            "total": self.total,
            "tensors": [
                {**vars(tensor), "shape": list(tensor.shape), "shared": list(tensor.shared)}
                for tensor in self.tensors
            ],
        }


@dataclass(frozen=True)
class MatrixPicture:
    """A matrix as a picture of at most N x N pixels.

    name    of the parameter; shape: of the matrix (rows, columns); a vector has one row
    values  (h, w) float32: of each block of the matrix its mean, or the number with the largest magnitude
    block   how many rows and columns a pixel stands for, at most
    how     "mean" or "extreme"; the same where a pixel is one number
    smallest, largest, std  of the matrix itself
    """

    name: str
    shape: tuple[int, int]
    values: NDArray[np.float32]
    block: tuple[int, int]
    how: str
    smallest: float
    largest: float
    std: float

    def as_object(self) -> dict[str, Any]:
        """The picture as JSON: values row by row."""
        return {**vars(self), "shape": list(self.shape), "block": list(self.block), "values": self.values.tolist()}


def parameters_of(model: CausalLM) -> Parameters:
    """Every tensor of the model, with its layer, its kind and its shape."""
    names: dict[int, list[str]] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(name)
    found = []
    for name, tensor in model.named_parameters():
        layer = re.match(r"blocks\.(\d+)\.", name)
        with torch.inference_mode():
            numbers = tensor.float()
            spread = float(numbers.std(correction=0))
            mean = float(numbers.mean())
        found.append(
            Parameter(
                name=name,
                layer=int(layer[1]) if layer else None,
                kind=kind_of(name),
                shape=tuple(tensor.shape),
                count=tensor.numel(),
                mean=mean,
                std=spread,
                shared=tuple(other for other in names[id(tensor)] if other != name),
            )
        )
    return Parameters(sum(tensor.count for tensor in found), tuple(found))


def kind_of(name: str) -> str:
    """What a parameter is for, by its name; biases belong to their matrix.

    >>> kind_of("blocks.3.feed_forward.up.bias"), kind_of("blocks.0.attention.query_norm.weight")
    ('feed-forward: up', 'norm')
    """
    return next((kind for pattern, kind in KINDS.items() if re.search(pattern, name)), "other")


def matrix_picture(
    model: CausalLM, name: str, *, size: int = 256, how: Literal["mean", "extreme"] = "extreme"
) -> MatrixPicture:
    """A parameter as a picture of at most size x size pixels.

    how: a pixel is the mean of a block of the matrix, or its "extreme", the number with the largest magnitude. The
    mean of many random numbers is nearly zero; the extreme shows single large ones.
    Raises UsageError for a name that the model does not have, or for another size than 1 to 1024.
    """
    tensors = dict(model.named_parameters(remove_duplicate=False))
    if name not in tensors:
        raise UsageError(
            f"The model has no parameter {name!r}.", f"Name one of `parameters_of`, such as {next(iter(tensors))}."
        )
    if how not in HOWS:
        raise UsageError(f"how is {how!r}.", f"A pixel is one of: {', '.join(HOWS)}.")
    if not 1 <= size <= LARGEST_SIDE:
        raise UsageError(f"size is {size}.", f"A picture has 1 to {LARGEST_SIDE} pixels a side.")
    numbers = tensors[name].detach().float().cpu().numpy()
    matrix = numbers.reshape(1, -1) if numbers.ndim < 2 else numbers.reshape(-1, numbers.shape[-1])
    rows, columns = edges(matrix.shape[0], size), edges(matrix.shape[1], size)
    return MatrixPicture(
        name=name,
        shape=(matrix.shape[0], matrix.shape[1]),
        values=reduced(matrix, rows, columns, how).astype(np.float32),
        block=(int(np.diff(rows).max()), int(np.diff(columns).max())),
        how=how,
        smallest=float(matrix.min()),
        largest=float(matrix.max()),
        std=float(matrix.std()),
    )


def edges(length: int, most: int) -> NDArray[np.int64]:
    """Where blocks begin and the last one ends; sizes differ by one at most.

    >>> edges(10, 4).tolist(), edges(3, 8).tolist()
    ([0, 2, 5, 7, 10], [0, 1, 2, 3])
    """
    pixels = min(length, most)
    return np.arange(pixels + 1) * length // pixels


def reduced(matrix: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64], how: str) -> NDArray[Any]:
    """(n, m) -> (h, w): of each block its mean, or the number with the largest magnitude."""

    def over_blocks(reduce: np.ufunc, of: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(reduce.reduceat(reduce.reduceat(of, rows[:-1], axis=0), columns[:-1], axis=1))

    if how == "mean":
        counts = np.diff(rows)[:, None] * np.diff(columns)
        return over_blocks(np.add, matrix.astype(np.float64)) / counts
    high, low = over_blocks(np.maximum, matrix), over_blocks(np.minimum, matrix)
    return np.where(high >= -low, high, low)
