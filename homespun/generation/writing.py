"""A text that is being written: its ids, its dice, and how its next token is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.errors import HomespunError, ModelError
from homespun.generation.pages import Table
from homespun.generation.request import Request, ids_of
from homespun.generation.sampling import check, choose_checked, keep_allowed, with_bias, with_repetition_penalty
from homespun.generation.settings import random_seed
from homespun.generation.window import window_start

DICE_AT_ONCE = 64


@dataclass(frozen=True)
class Token:
    """A token that was chosen.

    logprob       its log-probability in nats by the model itself, before any sampling setting; None
                  where it was not asked for, as are the alternatives
    alternatives  the likeliest ids at that place with theirs, the likeliest first
    """

    id: int
    logprob: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


class Writing:
    """One request on its way. `take` is given the logits of each next token; `end` says why there are no more.

    ids      the prompt's last context_length tokens, and all that was written
    table    the pages that hold the window's keys and values, where the way of computing has pages
    tokens   what was written and nobody has read yet
    end      None while it goes on; then "length", "stop" or "cancelled"
    error    what ended it otherwise
    """

    def __init__(self, request: Request, vocab_size: int, context_length: int) -> None:
        prompt = ids_of(request)
        check_ids(prompt, vocab_size)
        self.request = request
        self.sampling = replace(request.sampling, seed=None, repetition_penalty=None)  # the rest is its own
        self.ids = prompt[-context_length:]
        self.context_length = context_length
        self.table: Table | None = None
        self.start = 0  # of the window that the table holds
        self.tokens: list[Token] = []
        self.count = 0
        self.end: str | None = None
        self.error: HomespunError | None = None
        self.dice = Dice(request.sampling.seed)
        self.below = vocab_size if request.below is None else min(request.below, vocab_size)
        self.settings = (*astuple(self.sampling), self.below)  # two that are equal here are chosen for at once
        self.seen: Tensor | None = None
        if request.sampling.repetition_penalty is not None:
            self.seen = torch.zeros(self.below, dtype=torch.bool)
            self.seen[[id for id in prompt if id < self.below]] = True
        self.allowed = None if request.constraint is None else request.constraint.begin(self.below)
        if not request.max_tokens:
            self.end = "length"

    def window(self) -> list[int]:
        """The ids that the model sees now."""
        return self.ids[window_start(len(self.ids), self.context_length) :]

    def most_tokens_in_window(self) -> int:
        """What the window may grow to from where it begins now; what is chosen last is never read."""
        return min(self.context_length, len(self.window()) + self.request.max_tokens - self.count - 1)

    def adjusted(self, logits: Tensor) -> Tensor:
        """logits (V) -> (below): with what is this text's own."""
        logits = logits[: self.below]
        if self.seen is not None:
            logits = with_repetition_penalty(logits, self.seen, self.request.sampling.repetition_penalty or 1.0)
        if self.request.logit_bias:
            logits = with_bias(logits, self.request.logit_bias)
        if self.allowed is not None:
            logits = keep_allowed(logits, self.allowed.mask())
        return logits

    def take(self, id: int, logits: Tensor) -> None:
        """id was chosen by logits (V) of the model."""
        if id in self.request.stop_ids or (self.allowed is not None and self.allowed.ends_with(id)):
            self.end = "stop"
            return
        self.ids.append(id)
        self.tokens.append(told(id, logits, self.request.alternatives))
        self.count += 1
        if self.seen is not None:
            self.seen[id] = True
        if self.allowed is not None:
            self.allowed.push(id)
            if self.allowed.complete():
                self.end = "stop"
                return
        if self.count == self.request.max_tokens:
            self.end = "length"

    def take_or_fail(self, id: int, logits: Tensor) -> None:
        try:
            self.take(id, logits)
        except HomespunError as error:
            self.error = error


class Dice:
    """Numbers from 0 to below 1, the same for the same seed, however many are asked for at once."""

    def __init__(self, seed: int | None) -> None:
        self.generator = torch.Generator().manual_seed(random_seed() if seed is None else seed)
        self.rest: list[float] = []

    def throw(self) -> float:
        if not self.rest:
            self.rest = torch.rand(DICE_AT_ONCE, generator=self.generator).tolist()[::-1]
        return self.rest.pop()


@torch.inference_mode()
def choose_for_all(writings: Sequence[Writing], logits: Tensor) -> None:
    """logits (N, V): each of the N writings takes its next token. Those with the same settings share the work."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row, writing in enumerate(writings):
        groups.setdefault(writing.settings, []).append(row)
    for members in groups.values():
        together = [writings[row] for row in members]
        try:
            ids = chosen([writings[row].adjusted(logits[row]) for row in members], together)
        except HomespunError:
            choose_for_each(together, logits[members])
            continue
        for writing, id, row in zip(together, ids, members, strict=True):
            writing.take_or_fail(id, logits[row])


def choose_for_each(writings: Sequence[Writing], logits: Tensor) -> None:
    """One after the other: what goes wrong with one text ends that text, and no other."""
    for writing, row in zip(writings, logits, strict=True):
        try:
            (id,) = chosen([writing.adjusted(row)], [writing])
        except HomespunError as error:
            writing.error = error
        else:
            writing.take_or_fail(id, row)


def chosen(rows: list[Tensor], writings: list[Writing]) -> list[int]:
    """rows: the adjusted logits of writings that share their settings."""
    stacked = torch.stack(rows)
    check(stacked)  # before the dice are thrown: who is not at fault shall find them as they were
    dice = torch.tensor([writing.dice.throw() for writing in writings])
    ids: list[int] = choose_checked(stacked, writings[0].sampling, dice).tolist()
    return ids


def told(id: int, logits: Tensor, alternatives: int | None) -> Token:
    """The token as the request wants it told. logits (V), the model's own."""
    if alternatives is None:
        return Token(id)
    logprobs = F.log_softmax(logits.float(), dim=-1)
    best = logprobs.topk(min(alternatives, logprobs.size(0)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return Token(id, float(logprobs[id]), tuple(pairs))


def check_ids(ids: list[int], vocab_size: int) -> None:
    """Raises ModelError where ids is empty or has an id that the model does not know."""
    if not ids:
        raise ModelError("The model was given no tokens to start from.", "Give at least one id.")
    strange = next((id for id in ids if not 0 <= id < vocab_size), None)
    if strange is not None:
        raise ModelError(
            f"The prompt has the id {strange}; the model knows the ids 0 to {vocab_size - 1}.",
            "Encode the prompt with the tokenizer that belongs to the model.",
        )
