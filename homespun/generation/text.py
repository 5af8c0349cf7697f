"""Three layers, each a thin one over the one before.

    generate_ids     ids in, ids out; knows the model
    generate_pieces  text in, whole characters out as they come; knows the tokenizer
    generate         text in, text out

What can be asked for is `Request`; each of the functions takes its settings by name. In place of
a model they take an `Engine`, which is quicker where many texts follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from homespun.errors import UnknownCharacter
from homespun.generation.engine import Engine, Stream
from homespun.generation.request import Request
from homespun.generation.stopping import StopStrings
from homespun.model.causal_lm import CausalLM
from homespun.tokenizer.prompt import encode_prompt

if TYPE_CHECKING:
    from homespun.tokenizer.stream import TokenStream
    from homespun.tokenizer.tokenizer import Tokenizer


def generate_ids(
    model: CausalLM | Engine, prompt_ids: Sequence[int], *, use_cache: bool = True, **settings: Any
) -> Iterator[int]:
    """The ids that follow prompt_ids, at most max_tokens, one by one; a stop id ends them and is not among them.

    settings: what `Request` has besides the prompt. Of a prompt longer than the model's context_length the
    last tokens count; `window` says what a model sees of a longer text. The random numbers are this
    generation's own: torch's random state is neither used nor changed. Dropout is off.
    Raises ModelError for an empty prompt and for ids that the model does not have.
    """
    stream = submit(model, Request(prompt_ids, **settings), use_cache)
    return (token.id for token in stream)


def submit(model: CausalLM | Engine, request: Request, use_cache: bool = True) -> Stream:
    """To the engine, or to one that is as small as one text needs it."""
    if isinstance(model, Engine):
        return model.submit(request)
    return Engine(model, streams=1, cached=use_cache).submit(request)


class Pieces(Iterator[str]):
    """The text that follows a prompt, piece by piece, in whole characters.

    tokens         how many the model has written so far
    prompt_ids     ids of the prompt, as far as they fit into the context
    ids            what it has written: so many as `tokens` says, those of a stop string among them
    finish_reason  None while it goes on; then "length" (max_tokens were written),
                   "stop" (the model ended the text, or a stop string was reached) or "cancelled"
    """

    def __init__(self, stream: Stream, characters: TokenStream, stop: StopStrings) -> None:
        self.stream = stream
        self.prompt_ids = stream.prompt_ids
        self.ids: list[int] = []
        self.finish_reason: str | None = None
        self.pieces = self.read(characters, stop)

    @property
    def tokens(self) -> int:
        return len(self.ids)

    def __next__(self) -> str:
        return next(self.pieces)

    def read(self, characters: TokenStream, stop: StopStrings) -> Iterator[str]:
        for token in self.stream:
            self.ids.append(token.id)
            if piece := stop.push(characters.push(token.id)):
                yield piece
            if stop.reached:
                self.stream.cancel()
                break
        else:
            if piece := stop.push(characters.flush()) + stop.flush():
                yield piece
        self.finish_reason = "stop" if stop.reached else self.stream.finish_reason

    def cancel(self) -> None:
        """Writes no more."""
        self.stream.cancel()


def generate_pieces(
    model: CausalLM | Engine,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    use_cache: bool = True,
    **settings: Any,
) -> Pieces:
    """The text after the prompt, as it comes, in whole characters and without the prompt.

    settings: what `Request` has besides the prompt. Each end that the model names ends the text, and so does each
    string of stop, of which nothing appears. Raises UnknownCharacter where the prompt has a character that the
    model never met, UsageError for settings that make no sense, both before the first piece.
    """
    return pieces_of(model, tokenizer, Request(prompt, **settings), use_cache)


def pieces_of(model: CausalLM | Engine, tokenizer: Tokenizer, request: Request, use_cache: bool = True) -> Pieces:
    """The same for a request that is there already, with a string for its prompt."""
    assert isinstance(request.prompt, str)
    stop = StopStrings(request.stop)
    prompt_ids = encode_prompt(tokenizer, request.prompt, special_tokens=request.special)
    opening = tokenizer.opening
    begun = request.special and opening and prompt_ids[: len(opening)] == opening  # who spells it out has it once
    in_ids = request.with_(
        prompt=[*([] if begun else opening), *prompt_ids] or [first_id(tokenizer)],
        stop_ids=(*request.stop_ids, *tokenizer.ends),
        below=tokenizer.vocab_size,  # many models have a few ids more, for the sake of a round number
    )
    return Pieces(submit(model, in_ids, use_cache), characters_after(tokenizer, prompt_ids), stop)


def characters_after(tokenizer: Tokenizer, prompt_ids: Sequence[int]) -> TokenStream:
    """What makes whole characters of the ids that follow the prompt."""
    characters = tokenizer.stream()
    for id in prompt_ids:
        characters.push(id)  # it depends on what stands before a token whether it begins with a space
    return characters


def generate(
    model: CausalLM | Engine,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    use_cache: bool = True,
    **settings: Any,
) -> str:
    """The text after the prompt, without the prompt. Everything else as in generate_pieces."""
    return "".join(generate_pieces(model, tokenizer, prompt, use_cache=use_cache, **settings))


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
