"""What is measured of a model on a text: from homespun.insight, as the page gets it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from homespun.dataset.preparation import Dataset, reopen
from homespun.errors import CheckpointError, HomespunError
from homespun.generation.text import first_id
from homespun.insight.ablation import switch_off
from homespun.insight.copies import copied_pieces
from homespun.insight.embedding_history import embedding_history
from homespun.insight.head_rules import BACK, FIRST, INDUCTION, ITSELF, NEWLINE, PREVIOUS, SAME, WORD
from homespun.insight.heads import HeadRoles, head_roles
from homespun.insight.neurons import neuron_activations, neuron_classes
from homespun.insight.parameters import matrix_picture, parameters_of
from homespun.server.errors import ApiError
from homespun.studio.inside import cells_of, measured, numbers
from homespun.studio.run_summary import plan_of
from homespun.studio.schema import inside as answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer

SHOWN = 600  # tokens of a text that nobody has chosen, with the activations of neurons
ROLES = {
    PREVIOUS: "the token right before",
    BACK: "the token a fixed number of places back",
    ITSELF: "the token that the head reads from",
    FIRST: "the first token that is visible, where attention goes that has no better place",
    WORD: "the beginning of the word",
    NEWLINE: "the last line end",
    SAME: "the same token, where it stood before",
    INDUCTION: "what followed the same token before, measured on random strings that repeat",
}


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


def heads(model: CausalLM, tokenizer: Tokenizer, held_out: NDArray[Any]) -> answers.HeadCards:
    found = head_roles(model, tokenizer, held_out)
    cards = []
    for card in found.as_object()["heads"]:
        layer, head = card["layer"], card["head"]
        scores = {role["role"]: role["score"] for role in card["roles"] if role["score"] is not None}
        cards.append(
            answers.HeadCard(
                layer=layer,
                head=head,
                scores=scores,
                entropy=card["entropy"] or 0.0,
                says=said_of(found, layer, head),
                examples=card["surest"],
            )
        )
    return answers.HeadCards(heads=cards, about=ROLES, tokens=found.tokens)


def said_of(found: HeadRoles, layer: int, head: int) -> str:
    """What stands out of a head, in a sentence."""
    at = int(found.role[layer, head])
    entropy, uniform = float(found.entropy[layer, head]), found.uniform
    spread = f"Its attention is spread over {2**entropy:.1f} tokens (evenly spread it would be {2**uniform:.0f})."
    if at < 0:
        return f"No role stands out. {spread}"
    role = found.roles[at]
    where = f"{int(found.back[layer, head])} tokens back" if role == BACK else ROLES[role]
    score, expected = float(found.scores[layer, head, at]), float(found.expected()[layer, head, at])
    return f"{score:.0%} of its attention goes to {where}; {expected:.0%} would without that role. {spread}"


def ablation(
    model: CausalLM, tokenizer: Tokenizer, text: str | NDArray[Any], heads: list[tuple[int, int]]
) -> answers.Ablation:
    found = switch_off(model, tokenizer, text, heads)
    return answers.Ablation(loss=found.loss, loss_without=found.without, tokens=len(found.tokens) - 1)


def neurons(
    model: CausalLM, tokenizer: Tokenizer, text: str | None, held_out: NDArray[Any], layer: int, count: int
) -> answers.Neurons:
    """The neurons that a property of held-out text explains best, and their activations on a text."""
    classes = neuron_classes(model, tokenizer, held_out)
    layers = len(classes.best)
    if layer >= layers:
        raise ApiError(f"There is no layer {layer}.", f"There are layers 0 to {layers - 1}.", param="layer")
    score = np.abs(np.nan_to_num(classes.correlation[layer]))
    chosen = np.argsort(-score, kind="stable")[:count].tolist()
    ids = tokenizer.encode(text) if text else held_out[:SHOWN].tolist()
    if len(ids) < 2:
        raise ApiError("The text has no two tokens.", "Give a longer one.", param="text")
    cells = cells_of(tokenizer, ids, 0, *measured(model, ids))
    values = neuron_activations(model, tokenizer, ids, layer, chosen).values
    at = [cell.place + cell.tokens - 1 for cell in cells]
    return answers.Neurons(
        layer=layer,
        neurons=[
            answers.Neuron(
                neuron=neuron,
                told=classes.names[best] if (best := int(classes.best[layer, neuron])) >= 0 else "nothing",
                score=float(score[neuron]),
            )
            for neuron in chosen
        ],
        cells=cells,
        activations=numbers(values[:, at], "float16"),
    )


def parameters(model: CausalLM) -> answers.ParameterTable:
    found = parameters_of(model)
    return answers.ParameterTable(
        total=found.total,
        parts=[
            answers.ParameterPart(
                name=tensor.name,
                layer=tensor.layer,
                role=tensor.kind,
                shape=list(tensor.shape),
                parameters=tensor.count,
            )
            for tensor in found.tensors
        ],
    )


def matrix(model: CausalLM, name: str, most: int) -> answers.Matrix:
    found = matrix_picture(model, name, size=most, how="mean")
    with torch.inference_mode():
        rms = float(dict(model.named_parameters(remove_duplicate=False))[name].float().square().mean().sqrt())
    return answers.Matrix(
        name=found.name,
        shape=list(found.shape),
        block=list(found.block),
        values=numbers(found.values, "float16"),
        smallest=found.smallest,
        largest=found.largest,
        rms=rms,
    )


def copies(model: CausalLM, tokenizer: Tokenizer, text: str, dataset: Dataset) -> answers.Copies:
    """Places are those of the ids that are given with them."""
    own = tokenizer.encode(text)
    before = list(tokenizer.opening) or [first_id(tokenizer)]
    ids = [*before, *own]
    found = copied_pieces(dataset.train.ids, tokenizer, own, held_out=dataset.val.ids)
    pieces = [
        answers.Copied(
            place=len(before) + piece.start,
            tokens=piece.length,
            text=tokenizer.decode(own[piece.start : piece.start + piece.length]),
            count=occurrences(dataset.train.ids, own[piece.start : piece.start + piece.length]),
            around=f"{piece.before}⟦…⟧{piece.after}",
        )
        for piece in found.pieces
    ]
    return answers.Copies(
        ids=ids,
        hidden=len(before),
        cells=cells_of(tokenizer, ids, len(before), *measured(model, ids)),
        copied=pieces,
        least=found.least,
        share=found.share,
        held_out_share=found.expected,
    )


def occurrences(train: NDArray[Any], piece: list[int]) -> int:
    """How often the piece stands in a text.

    >>> occurrences(np.array([1, 2, 1, 2, 1]), [1, 2]), occurrences(np.array([1, 1, 1]), [1, 1])
    (2, 2)
    """
    places = np.flatnonzero(train[: len(train) - len(piece) + 1] == piece[0])
    for offset, id in enumerate(piece[1:], start=1):
        places = places[train[places + offset] == id]
    return len(places)


def film(folder: Path, tokenizer: Tokenizer) -> answers.EmbeddingFilm:
    """What the run has kept of its embedding; no steps where it has kept none."""
    try:
        found = embedding_history(folder, tokenizer)
    except CheckpointError:
        nothing = numbers(np.empty((0, 0, 2)), "float16")
        return answers.EmbeddingFilm(steps=[], ids=[], tokens=[], points=nothing, shares=(0.0, 0.0))
    first, second = (float(share) for share in found.shares[-1])
    return answers.EmbeddingFilm(
        steps=found.steps.tolist(),
        ids=found.ids.tolist(),
        tokens=list(found.tokens),
        points=numbers(found.points, "float16"),
        shares=(first, second),
    )
