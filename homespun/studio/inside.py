"""Questions about the inside of a model, answered from homespun.insight: arrays, as the page gets them.

All of it is called in the thread of the engines, between two steps: nobody else computes with the model then.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from homespun.errors import UnknownCharacter
from homespun.generation.sampling import (
    COLDEST,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    with_repetition_penalty,
    with_temperature,
)
from homespun.generation.settings import Sampling
from homespun.generation.text import first_id
from homespun.generation.window import window_start
from homespun.insight.embedding import embedding_map
from homespun.insight.lens import logit_lens
from homespun.insight.probabilities import attention, names_of, predictions
from homespun.model.mode import evaluation_mode
from homespun.server.errors import ApiError
from homespun.studio.schema import inside as answers
from homespun.studio.schema.values import Numbers

if TYPE_CHECKING:
    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer

MOST_POINTS = 400  # of an embedding that nobody has chosen tokens of


def numbers(values: Any, dtype: str) -> Numbers:
    """An array as the page gets it: little-endian, in base64."""
    found = np.ascontiguousarray(np.asarray(values), dtype=np.dtype(dtype).newbyteorder("<"))
    return Numbers(dtype=dtype, shape=list(found.shape), data=base64.b64encode(found.tobytes()).decode())  # type: ignore[arg-type]


def surprise(model: CausalLM, tokenizer: Tokenizer, body: answers.TextRequest) -> answers.Surprise:
    """How surprised the model is by each piece of a text."""
    context_length = model.config.context_length
    try:
        own = tokenizer.encode(body.text)
    except UnknownCharacter:
        unknown = [character for character in dict.fromkeys(body.text) if not is_known(tokenizer, character)]
        return answers.Surprise(
            ids=[], hidden=0, cells=[], unknown=unknown, bits=None, context_length=context_length
        )
    before = list(tokenizer.opening) if tokenizer.opening or own else [first_id(tokenizer)]
    ids = [*before, *own]
    logprobs, ranks = measured(model, ids)
    found = cells_of(tokenizer, ids, len(before), logprobs, ranks)
    known = [-logprob / math.log(2) for logprob in logprobs[len(before) :] if logprob is not None]
    return answers.Surprise(
        ids=ids,
        hidden=len(before),
        cells=found,
        unknown=[],
        bits=sum(known) / len(known) if known else None,
        context_length=context_length,
    )


def is_known(tokenizer: Tokenizer, character: str) -> bool:
    try:
        tokenizer.encode(character)
    except UnknownCharacter:
        return False
    return True


def measured(model: CausalLM, ids: Sequence[int]) -> tuple[list[float | None], list[int]]:
    """The log-probability of each token and how many were likelier; None and -1 for the first one."""
    logprobs: list[float | None] = [None] * len(ids)
    ranks = [-1] * len(ids)
    for places, expected in predictions(model, ids):
        came = torch.tensor([ids[place] for place in places])[:, None]
        own = expected.gather(1, came)
        likelier = (expected > own).sum(dim=1)
        for row, place in enumerate(places):
            logprobs[place], ranks[place] = float(own[row, 0]), int(likelier[row])
    return logprobs, ranks


def cells_of(
    tokenizer: Tokenizer, ids: Sequence[int], hidden: int, logprobs: Sequence[float | None], ranks: Sequence[int]
) -> list[answers.Cell]:
    """The text in pieces of whole characters, each with the tokens that complete it."""
    stream, found, place = tokenizer.stream(), [], hidden
    for at in range(hidden, len(ids)):
        is_last = at + 1 == len(ids)
        text = stream.push(ids[at]) + (stream.flush() if is_last else "")
        if not text:
            continue
        own = [logprobs[one] for one in range(place, at + 1)]
        bits = None if None in own else sum(-(logprob or 0.0) for logprob in own) / math.log(2)
        found.append(
            answers.Cell(text=text, place=place, tokens=at + 1 - place, bits=finite(bits), rank=ranks[place])
        )
        place = at + 1
    return found


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def check_place(model: CausalLM, ids: Sequence[int], place: int, *, is_end_allowed: bool = True) -> list[int]:
    """The window from which the token at that place was predicted. Raises ApiError."""
    last = len(ids) if is_end_allowed else len(ids) - 1
    if not 1 <= place <= last:
        raise ApiError(
            f"Nothing was predicted at place {place} of a text of {len(ids):,} tokens.",
            f"Name a place from 1 to {last}.",
            param="place",
        )
    if max(ids) >= model.config.vocab_size:
        raise ApiError(f"The model has no token {max(ids)}.", param="ids")
    return list(ids[window_start(place, model.config.context_length) : place])


def distribution(
    model: CausalLM, tokenizer: Tokenizer, body: answers.DistributionRequest
) -> answers.DistributionView:
    window = check_place(model, body.ids, body.place)
    logits = logits_after(model, window)  # (V)
    known = logits[: tokenizer.vocab_size]
    expected = logits.log_softmax(-1)
    weighed = weighed_by(known, Sampling(**body.sampling.model_dump()), window)
    best = known.topk(min(body.choices, len(known))).indices.tolist()
    shares = expected.exp()
    return answers.DistributionView(
        place=body.place,
        choices=[
            answers.TokenChoice(
                id=id, token=tokenizer.token(id), probability=float(shares[id]), weighed=float(weighed[id])
            )
            for id in best
        ],
        left=int((weighed > 0).sum()),
        entropy=float(-(shares * expected.clamp(min=-1e9)).sum() / math.log(2)),
        logits=numbers(known.numpy(), "float16") if body.with_logits else None,
    )


@torch.inference_mode()
def logits_after(model: CausalLM, window: Sequence[int]) -> Tensor:
    """(V) float32: of what follows the window."""
    with evaluation_mode(model):
        logits: Tensor = model(torch.tensor([list(window)], device=model.device))[0]  # (1, T, V)
    return logits[0, -1].float().cpu()


def weighed_by(logits: Tensor, sampling: Sampling, window: Sequence[int]) -> Tensor:
    """logits (V) -> probabilities (V) as the settings leave them, applied in the engine's order."""
    if sampling.repetition_penalty is not None:
        seen = torch.zeros(len(logits), dtype=torch.bool)
        seen[[id for id in window if id < len(logits)]] = True
        logits = with_repetition_penalty(logits, seen, sampling.repetition_penalty)
    if sampling.temperature < COLDEST:
        return torch.nn.functional.one_hot(logits.argmax(), len(logits)).float()
    logits = with_temperature(logits, sampling.temperature)
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p is not None:
        logits = keep_min_p(logits, sampling.min_p)
    return logits.softmax(-1)


def attended(model: CausalLM, tokenizer: Tokenizer, body: answers.PlaceRequest) -> answers.AttentionView:
    window = check_place(model, body.ids, body.place)
    weights = attention(model, window, 1)[:, :, 0]  # (L, H, S)
    layers, heads, _ = weights.shape
    start = window_start(body.place, model.config.context_length)
    return answers.AttentionView(
        place=body.place, start=start, layers=layers, heads=heads, weights=numbers(weights.numpy(), "float16")
    )


def maps(model: CausalLM, tokenizer: Tokenizer, body: answers.MapsRequest) -> answers.AttentionMaps:
    window = check_place(model, body.ids, body.place)
    size = min(body.size, len(window))
    weights = attention(model, window, size)[..., -size:]  # (L, H, size, size)
    layers, heads = weights.shape[:2]
    return answers.AttentionMaps(
        size=size, layers=layers, heads=heads, weights=numbers(weights.numpy(), "float16")
    )


def lens(model: CausalLM, tokenizer: Tokenizer, body: answers.LensRequest) -> answers.LensView:
    check_place(model, body.ids, body.place)
    found = logit_lens(model, tokenizer, body.ids, body.place, places=body.places)
    came = [body.ids[place] if place < len(body.ids) else None for place in found.places.tolist()]
    return answers.LensView(
        first=int(found.places[0]),
        places=len(found.places),
        layers=len(found.ids),
        ids=numbers(found.ids, "int32"),
        logprobs=numbers(found.logprobs, "float32"),
        tokens=[token for row in found.tokens for token in row],
        came=["" if id is None else tokenizer.token(id) for id in came],
    )


def embedding(model: CausalLM, tokenizer: Tokenizer, body: answers.EmbeddingViewRequest) -> answers.EmbeddingView:
    ids = body.ids if body.ids is not None else range(min(tokenizer.vocab_size, MOST_POINTS))
    chosen = [id for id in dict.fromkeys(ids) if id < tokenizer.vocab_size and tokenizer.token(id)][:MOST_POINTS]
    found = embedding_map(model, tokenizer, chosen)
    return answers.EmbeddingView(
        ids=found.ids.tolist(),
        tokens=list(found.tokens),
        points=numbers(found.points, "float32"),
        shares=found.shares,
        nearest=[list(names_of(tokenizer, row)) for row in found.nearest.tolist()],
    )
