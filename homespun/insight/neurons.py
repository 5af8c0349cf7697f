"""The neurons of the feed-forward layers: when each is active, and which property of the text explains it best.

A neuron's activation is what the layer's last matrix (`down`) is given at a place: behind the activation function,
and, in a gated layer, behind the product with the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from homespun.errors import UsageError
from homespun.generation.window import window_start
from homespun.insight.character_classes import character_classes
from homespun.insight.passes import batches, characters_of, check_gpt, excerpt, ids_of
from homespun.insight.probabilities import names_of
from homespun.model.block import Block
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT
from homespun.model.mode import evaluation_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.insight.passes import Characters
    from homespun.tokenizer.tokenizer import Tokenizer

MOST_TOKENS = 16_384
FEWEST_TOKENS = 64  # fewer say nothing about a class
MOST_AT_ONCE = 2**26  # activations held at a time


@dataclass(frozen=True)
class NeuronActivations:
    """Some neurons of a layer over a text of T tokens.

    neurons  (K) their indices in the layer
    tokens   (T) as a person may read them
    values   (K, T) float32: the activation of each neuron at each token
    """

    layer: int
    neurons: tuple[int, ...]
    tokens: tuple[str, ...]
    values: NDArray[np.float32]

    def as_object(self) -> dict[str, Any]:
        """The activations as JSON."""
        return {**vars(self), "neurons": list(self.neurons), "values": self.values.tolist()}


@dataclass(frozen=True)
class Peak:
    """Where a neuron is most active. text: around it; its token is the characters token[0] to token[1]."""

    place: int
    value: float
    text: str
    token: tuple[int, int]


@dataclass(frozen=True)
class NeuronClasses:
    """Of M neurons in each of L layers, the property of the text that explains each best (K properties).

    names        (K): "vowel", "place in the line", "'e'", …
    shares       (K) float32: the share of the tokens in a class, or the mean of a count
    best         (L, M) int64: the index of the property; -1 where a neuron is never active
    correlation  (L, M) float32, from -1 to 1: Pearson's correlation of the activation with that property, on the
                 second half of the text, while the property was chosen on the first. Its square is the share of
                 the variance explained
    auc          (L, M) float32: the chance that the neuron is more active at a random place of the class than at
                 a random other one, on the second half; not a number for a count
    active       (L, M) float32: the share of places with an activation above zero
    mean, std    (L, M) float32, of the activation
    tokens       how many tokens were measured on
    peaks        (L, M, P) int64: the places of the largest activations, the largest first
    peak_values  (L, M, P) float32
    characters   of the text
    """

    names: tuple[str, ...]
    shares: NDArray[np.float32]
    best: NDArray[np.int64]
    correlation: NDArray[np.float32]
    auc: NDArray[np.float32]
    active: NDArray[np.float32]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    tokens: int
    peaks: NDArray[np.int64]
    peak_values: NDArray[np.float32]
    characters: Characters

    def order(self) -> NDArray[np.int64]:
        """(L * M, 2): (layer, neuron), the best explained first."""
        flat = np.argsort(-np.abs(np.nan_to_num(self.correlation)).ravel(), kind="stable")
        return np.stack(np.unravel_index(flat, self.correlation.shape), axis=1)

    def peaks_of(self, layer: int, neuron: int) -> tuple[Peak, ...]:
        """The places where a neuron is most active, with the text around them."""
        return tuple(
            Peak(place, value, *excerpt(self.characters, place))
            for place, value in zip(
                self.peaks[layer, neuron].tolist(), self.peak_values[layer, neuron].tolist(), strict=True
            )
        )

    def as_object(self, most: int = 100) -> dict[str, Any]:
        """The best explained neurons as JSON, and how many there are of each property."""
        neurons = [
            {
                "layer": layer,
                "neuron": neuron,
                "property": self.names[self.best[layer, neuron]] if self.best[layer, neuron] >= 0 else None,
                "correlation": finite(self.correlation[layer, neuron]),
                "auc": finite(self.auc[layer, neuron]),
                "active": float(self.active[layer, neuron]),
                "mean": float(self.mean[layer, neuron]),
                "std": float(self.std[layer, neuron]),
                "peaks": [vars(peak) for peak in self.peaks_of(layer, neuron)],
            }
            for layer, neuron in self.order()[:most].tolist()
        ]
        properties = [
            {"property": name, "share": float(share), "neurons": int((self.best == n).sum())}
            for n, (name, share) in enumerate(zip(self.names, self.shares, strict=True))
        ]
        layers, width = self.best.shape
        return {
            "tokens": self.tokens,
            "layers": layers,
            "width": width,
            "properties": properties,
            "neurons": neurons,
        }


@torch.inference_mode()
def neuron_activations(
    model: CausalLM,
    tokenizer: Tokenizer,
    text: str | Sequence[int] | NDArray[np.int64],
    layer: int,
    neurons: Sequence[int],
) -> NeuronActivations:
    """The activations of some neurons (K) of a layer at each token of a text, which is a string or ids.

    A text longer than context_length is seen as generation sees it, with at least half a window before a token.
    Raises ModelError for a bigram, UsageError for a neuron that the model does not have, UnknownCharacter.
    """
    model = check_gpt(model, "neurons")
    for neuron in neurons:
        check_neuron(model, layer, neuron)
    ids = ids_of(model, tokenizer, text)
    length = model.config.context_length
    values = np.empty((len(neurons), len(ids)), np.float32)
    with evaluation_mode(model), activations_kept(model) as kept:
        done = 0
        while done < len(ids):
            start = window_start(done + 1, length)
            end = done + 1
            while end < len(ids) and window_start(end + 1, length) == start:
                end += 1
            model.features(torch.from_numpy(ids[start:end][None]).to(model.device))
            chosen = kept[layer][0, done - start :][:, list(neurons)]
            values[:, done:end] = chosen.T.float().cpu().numpy()
            done = end
    return NeuronActivations(layer, tuple(neurons), names_of(tokenizer, ids.tolist()), values)


@torch.inference_mode()
def neuron_classes(
    model: CausalLM,
    tokenizer: Tokenizer,
    text: str | Sequence[int] | NDArray[np.int64],
    *,
    most_tokens: int = MOST_TOKENS,
    peaks: int = 5,
) -> NeuronClasses:
    """Which property of the text explains each neuron best, on the first most_tokens of a text: a string or ids.

    peaks: P. Raises ModelError for a bigram, UsageError for a text of fewer than 64 tokens, UnknownCharacter.
    """
    model = check_gpt(model, "neurons")
    width, layers = model.config.n_inner, model.config.n_layer
    most_tokens = min(most_tokens, max(FEWEST_TOKENS, MOST_AT_ONCE // width))
    ids = ids_of(model, tokenizer, text, most_tokens)
    if len(ids) < FEWEST_TOKENS:
        raise UsageError(
            f"{len(ids)} tokens are too few to tell what a neuron does.",
            f"Give a text of {FEWEST_TOKENS} tokens or more; some thousands tell more.",
        )
    characters = characters_of(tokenizer, ids)
    classes = character_classes(tokenizer, ids, characters)
    columns = [
        of_a_layer(values, classes.values, classes.is_class, min(peaks, len(ids)))
        for values in layer_activations(model, ids)
    ]
    assert len(columns) == layers
    best, correlation, auc, active, mean, std, places, values = (
        np.stack(parts) for parts in zip(*columns, strict=True)
    )
    return NeuronClasses(
        names=classes.names,
        shares=classes.values.mean(axis=0),
        best=best,
        correlation=correlation,
        auc=auc,
        active=active,
        mean=mean,
        std=std,
        tokens=len(ids),
        peaks=places,
        peak_values=values,
        characters=characters,
    )


def of_a_layer(
    activations: Tensor, properties: NDArray[np.float32], is_class: NDArray[np.bool_], peaks: int
) -> tuple[NDArray[Any], ...]:
    """activations (N, M), properties (N, K) -> what NeuronClasses has of a layer, in its order."""
    half = len(activations) // 2
    known = torch.from_numpy(properties)
    chosen_on = correlations(activations[:half], known[:half])  # (M, K)
    held_out = correlations(activations[half:], known[half:])
    score = chosen_on.abs().nan_to_num(nan=-1.0)
    if score.size(1):
        best = torch.where(score.max(1).values > 0, score.argmax(1), -1)
    else:
        best = torch.full((activations.size(1),), -1)
    at = best.clamp(min=0)[:, None]
    nothing = torch.full((activations.size(1),), float("nan"))
    correlation = torch.where(best >= 0, held_out.gather(1, at)[:, 0], nothing) if score.size(1) else nothing
    auc = areas(activations[half:], known[half:], best, torch.from_numpy(is_class))
    top = activations.T.contiguous().topk(peaks)
    return tuple(
        part.numpy()
        for part in (
            *(best, correlation, auc, (activations > 0).float().mean(0), activations.mean(0)),
            *(activations.std(0), top.indices, top.values),
        )
    )


def correlations(activations: Tensor, properties: Tensor) -> Tensor:
    """(N, M), (N, K) -> (M, K): Pearson's correlations; not a number where one of the two does not vary."""
    a = activations - activations.mean(0)
    b = properties - properties.mean(0)
    return (a.T @ b) / (a.norm(dim=0)[:, None] * b.norm(dim=0))


def areas(activations: Tensor, properties: Tensor, chosen: Tensor, is_class: Tensor) -> Tensor:
    """(M): the area under the ROC curve of each neuron for its class; equal activations count as half.

    It is the Mann-Whitney statistic: how many pairs of a place in the class and another one are in that order.
    """
    found = torch.full((activations.size(1),), float("nan"))
    for neuron in torch.nonzero(chosen >= 0)[:, 0].tolist():
        at = int(chosen[neuron])
        inside = properties[:, at] > 0
        count = int(inside.sum())
        if not is_class[at] or not 0 < count < len(inside):
            continue
        members, others = activations[inside, neuron], activations[~inside, neuron].sort().values
        below = torch.searchsorted(others, members) + torch.searchsorted(others, members, right=True)
        found[neuron] = float(below.double().mean()) / (2 * len(others))
    return found


def layer_activations(model: GPT, ids: NDArray[np.int64]) -> Iterator[Tensor]:
    """Of each layer the activations of all neurons, (N, n_inner) float32, in windows that do not overlap.

    As many layers as fit into memory are kept of one pass.
    """
    length, width, layers = model.config.context_length, model.config.n_inner, model.config.n_layer
    at_once = max(1, MOST_AT_ONCE // (len(ids) * width))
    for first in range(0, layers, at_once):
        mine = range(first, min(first + at_once, layers))
        found = {layer: torch.empty(len(ids), width) for layer in mine}
        with evaluation_mode(model), activations_kept(model) as kept:
            for start, inputs in batches(ids, length):
                model.features(inputs.to(model.device))
                for layer in mine:
                    values = kept[layer].flatten(0, 1).float().cpu()
                    found[layer][start : start + len(values)] = values
        yield from found.values()


@contextmanager
def activations_kept(model: GPT) -> Iterator[dict[int, Tensor]]:
    """Within it, a forward pass leaves the activations (B, T, n_inner) of each layer in the dictionary."""
    kept: dict[int, Tensor] = {}

    def keep(layer: int) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
            kept[layer] = inputs[0]

        return hook

    hooks = []
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        hooks.append(block.feed_forward.down.register_forward_pre_hook(keep(layer)))
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def check_neuron(model: GPT, layer: int, neuron: int) -> None:
    """Raises UsageError where the model has no such neuron."""
    layers, width = model.config.n_layer, model.config.n_inner
    if not (0 <= layer < layers and 0 <= neuron < width):
        raise UsageError(
            f"There is no neuron {neuron} in layer {layer}: the model has {layers} layers of {width:,} neurons.",
            f"Layers are numbered from 0 to {layers - 1}, neurons from 0 to {width - 1}.",
        )


def finite(value: float | np.floating[Any]) -> float | None:
    """A number of JSON: null for what is not a number."""
    return float(value) if np.isfinite(value) else None
