"""The engine: the model is asked for the next token, again and again.

Three layers, each a thin one over the one before:

    generate_ids     ids in, ids out; knows the model
    generate_pieces  text in, whole characters out as they come; knows the tokenizer
    generate         text in, text out

A model sees its last context_length tokens. While the text is shorter than that,
a key-value cache keeps what is already computed; once it is longer, the window
moves on with every token and is computed afresh, as the lecture does it. The text
is the same with and without the cache.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from homespun.errors import ModelError, UnknownCharacter
from homespun.generation.sampling import choose
from homespun.generation.settings import LARGEST_SEED, Sampling, whole
from homespun.generation.stopping import StopStrings
from homespun.model import GPT, Bigram, GPTConfig, KVCache

if TYPE_CHECKING:
    from homespun.tokenizer import Tokenizer, TokenStream


def generate_ids(
    model: GPT | Bigram,
    prompt_ids: Sequence[int],
    *,
    max_tokens: int,
    sampling: Sampling | None = None,
    stop_ids: Collection[int] = (),
    below: int | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """The ids that follow prompt_ids, at most max_tokens, one by one; a stop id ends them and is not among them.

    below: only ids below that are drawn; None draws from all that the model has.

    Of a prompt longer than the model's context_length the last tokens count. The dice are this
    generation's own: torch's random state is neither used nor changed. Dropout is off.
    Raises ModelError for an empty prompt and for ids that the model does not have.
    """
    sampling = sampling or Sampling()
    whole("max_tokens", max_tokens, "a whole number of 0 or more", at_least=0)
    ids = list(prompt_ids)
    check_ids(ids, model.config.vocab_size)
    dice = torch.Generator().manual_seed(random_seed() if sampling.seed is None else sampling.seed)
    reader = Reader(model, len(ids) + max_tokens, use_cache)
    return continuation(reader, ids, max_tokens, sampling, dice, frozenset(stop_ids), below)


def continuation(
    reader: Reader,
    ids: list[int],
    max_tokens: int,
    sampling: Sampling,
    dice: torch.Generator,
    stop_ids: frozenset[int],
    below: int | None,
) -> Iterator[int]:
    """The loop itself: read, choose, write down. Changes ids."""
    for _ in range(max_tokens):
        chosen = int(choose(reader.logits_after(ids)[:below], sampling, dice))
        if chosen in stop_ids:
            return
        ids.append(chosen)
        yield chosen


class Reader:
    """Reads a text that grows at its end, and says what may come next.

    tokens: how long the text will be at most, so that the cache is no larger than it has to be.
    """

    def __init__(self, model: GPT | Bigram, tokens: int, use_cache: bool = True) -> None:
        self.model = model
        self.context_length = model.config.context_length
        self.cache: KVCache | None = None
        if use_cache and isinstance(model.config, GPTConfig):  # a bigram has nothing to keep
            room, weight = min(tokens, self.context_length), next(model.parameters())
            self.cache = KVCache(model.config, 1, room, device=weight.device, dtype=weight.dtype)

    @torch.inference_mode()
    def logits_after(self, ids: list[int]) -> Tensor:
        """ids, T of them, -> logits (V) of the token after the last one."""
        if len(ids) > self.context_length:
            self.cache = None  # every position has changed, and with it all that was kept
        known = 0 if self.cache is None else self.cache.length
        new = torch.tensor([ids[known:][-self.context_length :]], device=self.model.device)  # (1, T)
        with without_dropout(self.model):
            # A bigram takes no cache, and has none.
            logits, _ = self.model(new) if self.cache is None else self.model(new, cache=self.cache)  # (1, T, V)
        return logits[0, -1]


@contextmanager
def without_dropout(model: GPT | Bigram) -> Iterator[None]:
    """A model that is being trained can be asked for text in between, and goes on as it was."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()


class Pieces(Iterator[str]):
    """The text that follows a prompt, piece by piece, in whole characters.

    tokens         how many the model has written so far
    finish_reason  None while it goes on; then "length" (max_tokens were written)
                   or "stop" (the model ended the text, or a stop string was reached)
    """

    def __init__(self, ids: Iterator[int], max_tokens: int, stream: TokenStream, stop: StopStrings) -> None:
        self.tokens = 0
        self.finish_reason: str | None = None
        self.pieces = self.read(ids, max_tokens, stream, stop)

    def __next__(self) -> str:
        return next(self.pieces)

    def read(self, ids: Iterator[int], max_tokens: int, stream: TokenStream, stop: StopStrings) -> Iterator[str]:
        for id in ids:
            self.tokens += 1
            if piece := stop.push(stream.push(id)):
                yield piece
            if stop.reached:
                break
        else:
            if piece := stop.push(stream.flush()) + stop.flush():
                yield piece
        stopped = stop.reached or self.tokens < max_tokens
        self.finish_reason = "stop" if stopped else "length"


def generate_pieces(
    model: GPT | Bigram,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    max_tokens: int = 200,
    sampling: Sampling | None = None,
    stop: Iterable[str] = (),
    use_cache: bool = True,
) -> Pieces:
    """The text after the prompt, as it comes, in whole characters and without the prompt.

    The model's own end_of_text ends it, and so does each string of stop, of which nothing appears.
    Raises UnknownCharacter where the prompt has a character that the model never met, UsageError
    for settings that make no sense, both before the first piece.
    """
    stop_strings = StopStrings(stop)
    prompt_ids = tokenizer.encode(prompt)
    stream = tokenizer.stream()
    for id in prompt_ids:
        stream.push(id)  # it depends on what stands before a token whether it begins with a space
    ids = generate_ids(
        model,
        [*tokenizer.opening, *prompt_ids] or [first_id(tokenizer)],
        max_tokens=max_tokens,
        sampling=sampling,
        stop_ids=() if tokenizer.end_of_text is None else (tokenizer.end_of_text,),
        below=tokenizer.vocab_size,  # many models have a few ids more, for the sake of a round number
        use_cache=use_cache,
    )
    return Pieces(ids, max_tokens, stream, stop_strings)


def generate(
    model: GPT | Bigram,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    max_tokens: int = 200,
    sampling: Sampling | None = None,
    stop: Iterable[str] = (),
    use_cache: bool = True,
) -> str:
    """The text after the prompt, without the prompt. Everything else as in generate_pieces."""
    return "".join(
        generate_pieces(
            model, tokenizer, prompt, max_tokens=max_tokens, sampling=sampling, stop=stop, use_cache=use_cache
        )
    )


def first_id(tokenizer: Tokenizer) -> int:
    """What an empty prompt starts from, unseen: the end of the text before, else a new line, else id 0.

    In training, a text begins after end_of_text where there are several texts; where there is
    only one, a new line is the likeliest place for something to begin.
    """
    if tokenizer.end_of_text is not None:
        return tokenizer.end_of_text
    try:
        return tokenizer.encode("\n")[-1]
    except UnknownCharacter:
        return 0


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


def random_seed() -> int:
    """A seed that nobody chose, short enough to be typed again."""
    return secrets.randbelow(2**32)


def seed_of_sample(sampling: Sampling, first: int, number: int) -> Sampling:
    """The settings of a sample: its seed is the first one's and its number, counted from 0.

    >>> seed_of_sample(Sampling(), 7, 2).seed
    9
    """
    return replace(sampling, seed=(first + number) % (LARGEST_SEED + 1))
