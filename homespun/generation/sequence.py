"""A sequence that is being generated: its ids, its random state, and how its next token is chosen."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.errors import HomespunError, ModelError
from homespun.generation.kv_blocks import BlockTable
from homespun.generation.request import Request, ids_of
from homespun.generation.sampling import (
    check,
    keep_allowed,
    sample,
    with_bias,
    with_penalties,
    with_repetition_penalty,
)
from homespun.generation.settings import random_seed
from homespun.generation.window import window_start

DRAWS_AT_ONCE = 64


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


class Sequence:
    """One request on its way. `take` is given the logits of each next token; `end` says why there are no more.

    ids      the prompt's last context_length tokens, and all that was generated
    table    the blocks that hold the window's keys and values, where there is a KV cache
    tokens   what was generated, in order
    prompt_tokens  those of the prompt with their log-probabilities, where these are asked for, as far as they are
             computed; the first has none, since nothing precedes it
    end      None while it goes on; then "length", "stop" or "cancelled"
    error    what ended it otherwise
    """

    def __init__(self, request: Request, vocab_size: int, context_length: int) -> None:
        prompt = ids_of(request)
        check_ids(prompt, vocab_size)
        self.request = request
        self.sampling = replace(  # the rest is its own
            request.sampling, seed=None, repetition_penalty=None, frequency_penalty=None, presence_penalty=None
        )
        self.ids = prompt[-context_length:]
        self.context_length = context_length
        self.table: BlockTable | None = None
        self.start = 0  # of the window that the table holds
        self.tokens: list[Token] = []
        self.prompt_tokens: list[Token] = []
        self.prompt_length = len(self.ids)
        self.count = 0
        self.end: str | None = None
        self.error: HomespunError | None = None
        self.rng = Rng(request.sampling.seed)
        self.below = vocab_size if request.below is None else min(request.below, vocab_size)
        self.settings = (*astuple(self.sampling), self.below)  # sequences with equal ones are sampled together
        self.seen: Tensor | None = None
        if request.sampling.repetition_penalty is not None:
            self.seen = torch.zeros(self.below, dtype=torch.bool)
            self.seen[[id for id in prompt if id < self.below]] = True
        self.frequency = request.sampling.frequency_penalty or 0.0
        self.presence = request.sampling.presence_penalty or 0.0
        self.counts: Tensor | None = None
        if self.frequency or self.presence:
            self.counts = torch.zeros(self.below)
        self.allowed = None if request.constraint is None else request.constraint.begin(self.below)
        if request.prompt_alternatives is not None:
            check_fits(prompt, context_length)
        elif not request.max_tokens:
            self.end = "length"

    def describes_prompt(self) -> bool:
        """Whether log-probabilities of the prompt are asked for and not all computed yet."""
        return self.request.prompt_alternatives is not None and len(self.prompt_tokens) < self.prompt_length

    def take_prompt(self, logits: Tensor) -> None:
        """logits (N, V) after the next N tokens of the prompt: each describes the token behind its own."""
        alternatives = self.request.prompt_alternatives
        if not self.prompt_tokens:
            self.prompt_tokens.append(Token(self.ids[0]))
        at = len(self.prompt_tokens)
        ids = self.ids[at : min(at + logits.size(0), self.prompt_length)]
        self.prompt_tokens += described(ids, logits[: len(ids)], alternatives, self.below)
        if not self.request.max_tokens and not self.describes_prompt():
            self.end = "length"

    def window(self) -> list[int]:
        """The ids that the model sees now."""
        return self.ids[window_start(len(self.ids), self.context_length) :]

    def most_tokens_in_window(self) -> int:
        """What the window may grow to from where it begins now; the last token is never an input."""
        more = max(self.request.max_tokens - self.count, 1)
        return min(self.context_length, len(self.window()) + more - 1)

    def adjusted(self, logits: Tensor) -> Tensor:
        """logits (V) -> (below), with the penalties, bias and constraint of this sequence."""
        logits = logits[: self.below]
        if self.seen is not None:
            self.seen = self.seen.to(logits.device)
            logits = with_repetition_penalty(logits, self.seen, self.request.sampling.repetition_penalty or 1.0)
        if self.counts is not None:
            self.counts = self.counts.to(logits.device)
            logits = with_penalties(logits, self.counts, self.frequency, self.presence)
        if self.request.logit_bias:
            logits = with_bias(logits, self.request.logit_bias)
        if self.count < self.request.min_tokens:
            logits = with_bias(logits, dict.fromkeys(self.request.stop_ids, float("-inf")))
        if self.allowed is not None:
            logits = keep_allowed(logits, self.allowed.mask().to(logits.device))
        return logits

    def take(self, id: int, logits: Tensor) -> None:
        """Appends the id that was chosen from logits (V) of the model."""
        if id in self.request.stop_ids or (self.allowed is not None and self.allowed.ends_with(id)):
            self.end = "stop"
            return
        self.ids.append(id)
        self.tokens += described([id], logits[None], self.request.alternatives, self.below)
        self.count += 1
        if self.seen is not None:
            self.seen[id] = True
        if self.counts is not None:
            self.counts[id] += 1
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


class Rng:
    """Random numbers from 0 to below 1, the same for the same seed, however many are asked for at once."""

    def __init__(self, seed: int | None) -> None:
        self.generator = torch.Generator().manual_seed(random_seed() if seed is None else seed)
        self.rest: list[float] = []

    def draw(self) -> float:
        if not self.rest:
            self.rest = torch.rand(DRAWS_AT_ONCE, generator=self.generator).tolist()[::-1]
        return self.rest.pop()


@torch.inference_mode()
def choose_for_all(sequences: list[Sequence], logits: Tensor) -> None:
    """logits (N, V): each of N sequences takes its next token. Those with equal settings are sampled together.

    What goes wrong with one sequence ends that one, and no other. On a GPU the logits stay there, and what comes
    back is the ids.
    """
    groups: dict[tuple[Any, ...], list[tuple[int, Tensor]]] = {}
    for row, sequence in enumerate(sequences):
        try:
            adjusted = sequence.adjusted(logits[row])
        except HomespunError as error:
            sequence.error = error
        else:
            groups.setdefault(sequence.settings, []).append((row, adjusted))
    for members in groups.values():
        together = [sequences[row] for row, _ in members]
        stacked = torch.stack([adjusted for _, adjusted in members])
        draws = torch.tensor([sequence.rng.draw() for sequence in together]).to(stacked.device)
        ids: list[int] = sample(stacked, together[0].sampling, draws).tolist()
        for (row, adjusted), sequence, id in zip(members, together, ids, strict=True):
            if id < 0:
                sequence.error = error_of(adjusted)
            else:
                sequence.take_or_fail(id, logits[row])


def error_of(logits: Tensor) -> HomespunError:
    """What is wrong with logits (V) that no token could be chosen from."""
    try:
        check(logits)
    except HomespunError as error:
        return error
    raise AssertionError("a token could have been chosen")


def described(ids: list[int], logits: Tensor, alternatives: int | None, below: int) -> list[Token]:
    """N tokens, with the log-probabilities that the request asks for. logits (N, V), the model's own.

    Alternatives are among the ids below `below`: what a model has beyond its vocabulary nobody can read.
    """
    if alternatives is None or not ids:
        return [Token(id) for id in ids]
    logprobs = F.log_softmax(logits.float(), dim=-1)  # (N, V)
    own = logprobs.gather(1, torch.tensor(ids, device=logits.device)[:, None])[:, 0].tolist()
    best = logprobs[:, :below].topk(min(alternatives, below))  # (N, alternatives) both
    rows = zip(ids, own, best.indices.tolist(), best.values.tolist(), strict=True)
    return [Token(id, logprob, tuple(zip(others, values, strict=True))) for id, logprob, others, values in rows]


def check_fits(prompt: list[int], context_length: int) -> None:
    """Raises ModelError for a prompt whose log-probabilities are asked for, and which does not fit."""
    if len(prompt) > context_length:
        raise ModelError(
            f"The prompt has {len(prompt):,} tokens; the model sees {context_length:,}, and its log-probabilities "
            "are those of a whole prompt.",
            "Shorten the prompt, or measure a long text in pieces.",
        )


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
