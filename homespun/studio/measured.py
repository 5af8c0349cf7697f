"""What is measured of a model on a text: from homespun.insight, as the page gets it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.dataset.preparation import Dataset, reopen
from homespun.errors import CheckpointError, HomespunError
from homespun.insight.ablation import head_ablations, switch_off
from homespun.insight.copies import copied_pieces
from homespun.insight.embedding_history import embedding_history
from homespun.insight.heads import head_roles
from homespun.insight.neurons import neuron_activations, neuron_classes
from homespun.insight.parameters import matrix_picture, parameters_of
from homespun.insight.passes import check_gpt
from homespun.server.errors import ApiError
from homespun.studio.inside import cells_of, numbers
from homespun.studio.run_summary import plan_of
from homespun.studio.schema import inside as answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer

SHOWN = 600  # tokens of a text that nobody has chosen, with the activations of neurons
MOST_NEURONS = 200  # of all layers, in a list
MOST_WORK = 10**12  # parameters x heads x tokens of all ablations: some 20 s of one core
FEWEST_TOKENS, MOST_TOKENS = 512, 8_192  # of them


def dataset_of(folder: Path, tokenizer: Tokenizer) -> Dataset:
    """The text of a run, as ids, from the cache. Raises ApiError where it is not there any more."""
    try:
        found = reopen(plan_of(folder).text_key, tokenizer)
    except HomespunError as error:
        raise ApiError(error.what, error.todo, status=409, code="no_text") from error
    if found is None:
        raise ApiError(
            "The text of this run is not in the cache any more.",
            f"It is put there again by:  homespun evaluate {folder.name} --memorisation",
            status=409,
            code="no_text",
        )
    return found


def heads(model: CausalLM, tokenizer: Tokenizer, held_out: NDArray[Any]) -> answers.HeadRoles:
    return answers.HeadRoles(**head_roles(model, tokenizer, held_out).as_object())


def ablations(model: CausalLM, tokenizer: Tokenizer, held_out: NDArray[Any]) -> answers.HeadAblations:
    """The loss without each head in turn, on as many tokens as keep a large model from taking minutes."""
    config = check_gpt(model, "heads").config
    work = model.number_of_parameters() * config.n_layer * config.n_head
    most_tokens = max(FEWEST_TOKENS, min(MOST_TOKENS, MOST_WORK // work))
    return answers.HeadAblations(**head_ablations(model, tokenizer, held_out, most_tokens=most_tokens).as_object())


def ablation(
    model: CausalLM, tokenizer: Tokenizer, text: str | NDArray[Any], heads: list[tuple[int, int]]
) -> answers.SwitchedOff:
    found = switch_off(model, tokenizer, text, heads)
    return answers.SwitchedOff(
        heads=list(found.heads),
        replacement=found.replacement,
        loss=found.loss,
        without=found.without,
        change=found.change,
        tokens=len(found.tokens) - 1,
    )


def neurons(model: CausalLM, tokenizer: Tokenizer, held_out: NDArray[Any]) -> answers.Neurons:
    """The neurons of all layers that a property of held-out text explains best."""
    return answers.Neurons(**neuron_classes(model, tokenizer, held_out).as_object(MOST_NEURONS))


def activations(
    model: CausalLM, tokenizer: Tokenizer, text: str | NDArray[Any], layer: int, neuron: int
) -> answers.Activations:
    """A piece of several tokens has the activation at the last of them, which completes it.

    text: a string, or ids, of which the first are taken.
    """
    ids = tokenizer.encode(text) if isinstance(text, str) else text[:SHOWN].tolist()
    if not ids:
        raise ApiError("The text has no tokens.", "Give a longer one.", param="text")
    cells = cells_of(tokenizer, ids, 0, [None] * len(ids), [-1] * len(ids))
    values = neuron_activations(model, tokenizer, ids, layer, [neuron]).values[0]
    return answers.Activations(
        layer=layer,
        neuron=neuron,
        tokens=[cell.text for cell in cells],
        values=numbers(values[[cell.place + cell.tokens - 1 for cell in cells]], "float32"),
    )


def parameters(model: CausalLM) -> answers.Parameters:
    return answers.Parameters(**parameters_of(model).as_object())


def matrix(model: CausalLM, name: str, most: int) -> answers.MatrixPicture:
    found = matrix_picture(model, name, size=most, how="mean")
    height, width = found.values.shape
    return answers.MatrixPicture(
        **{**vars(found), "values": numbers(found.values, "float16")}, height=height, width=width
    )


def copies(tokenizer: Tokenizer, text: str, dataset: Dataset) -> answers.CopiedPieces:
    """Places and characters are those of the text."""
    ids = tokenizer.encode(text)
    train = dataset.train.ids
    found = copied_pieces(train, tokenizer, ids, held_out=dataset.val.ids).as_object()
    for piece in found["pieces"]:
        piece["count"] = occurrences(train, ids[piece["start"] : piece["start"] + piece["length"]])
    return answers.CopiedPieces(**found)


def occurrences(train: NDArray[Any], piece: list[int]) -> int:
    """How often the piece stands in a text.

    >>> occurrences(np.array([1, 2, 1, 2, 1]), [1, 2]), occurrences(np.array([1, 1, 1]), [1, 1])
    (2, 2)
    """
    places = np.flatnonzero(train[: len(train) - len(piece) + 1] == piece[0])
    for offset, id in enumerate(piece[1:], start=1):
        places = places[train[places + offset] == id]
    return len(places)


def film(folder: Path, tokenizer: Tokenizer) -> answers.EmbeddingHistory:
    """What the run has kept of its embedding; no steps where it has kept none."""
    try:
        found = embedding_history(folder, tokenizer)
    except CheckpointError:
        nothing = numbers(np.empty((0, 0, 2)), "float16")
        return answers.EmbeddingHistory(steps=[], ids=[], tokens=[], points=nothing, shares=[], moved=[])
    return answers.EmbeddingHistory(
        steps=found.steps.tolist(),
        ids=found.ids.tolist(),
        tokens=list(found.tokens),
        points=numbers(found.points, "float16"),
        shares=[(float(first), float(second)) for first, second in found.shares],
        moved=found.moved.tolist(),
    )
