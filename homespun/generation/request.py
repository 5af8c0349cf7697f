"""What is asked of a model: a text to go on from, how much, and how. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from homespun.errors import UsageError
from homespun.generation.settings import Sampling, number, whole

if TYPE_CHECKING:
    from homespun.generation.constraint import Constraint

MOST_ALTERNATIVES = 1000


@dataclass(frozen=True)
class Request:
    """One text that is to be written. Raises UsageError for values that make no sense.

    prompt        what the text goes on from: a string, or ids
    special       whether names of special tokens in a prompt that is a string are these tokens
    max_tokens    the most tokens that are written
    sampling      how each of them is chosen
    stop          strings that end the text before them (for those who ask with strings)
    stop_ids      ids that end the text and are not part of it
    below         only ids below that are drawn; None draws from all that the model has
    logit_bias    what is added to the logits of some ids; minus infinity forbids one
    alternatives  None, or how many of the likeliest ids are reported beside each one that was chosen,
                  with log-probabilities; 0 tells that of the chosen one alone
    constraint    what the text may be: `pattern("[0-9]+", tokenizer)`, `json_schema({...}, tokenizer)`
    min_tokens    until so many tokens are written, no stop id is chosen
    prompt_alternatives  as `alternatives`, for each token of the prompt (`Sequence.prompt_tokens`); such a prompt
                  fits into the context, and with max_tokens 0 nothing is written
    adapter       the adapter of the engine that the text is computed with; None is the model without one
    """

    prompt: str | Sequence[int] = ""
    special: bool = False
    max_tokens: int = 200
    sampling: Sampling = field(default_factory=Sampling)
    stop: Iterable[str] = ()
    stop_ids: Collection[int] = ()
    below: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    alternatives: int | None = None
    constraint: Constraint | None = None
    min_tokens: int = 0
    prompt_alternatives: int | None = None
    adapter: str | None = None

    def __post_init__(self) -> None:
        whole("max_tokens", self.max_tokens, "a whole number of 0 or more", at_least=0)
        whole("min_tokens", self.min_tokens, "a whole number of 0 or more", at_least=0)
        for name in ("alternatives", "prompt_alternatives"):
            if getattr(self, name) is not None:
                meaning = f"a whole number from 0 to {MOST_ALTERNATIVES}"
                whole(name, getattr(self, name), meaning, at_least=0, at_most=MOST_ALTERNATIVES)
        for id, bias in self.logit_bias.items():
            whole("An id of logit_bias", id, "a token's number, 0 or more", at_least=0)
            if bias != float("-inf"):
                number("A logit_bias", bias, "a number, or minus infinity for an id that is forbidden")

    def with_(self, **changes: Any) -> Request:
        """The same request but for `changes`."""
        return replace(self, **changes)

    def samples(self, how_many: int, first_seed: int) -> list[Request]:
        """That request so many times over, each with a seed of its own: first_seed, and one more each time.

        >>> [request.sampling.seed for request in Request("Once").samples(3, first_seed=7)]
        [7, 8, 9]
        """
        first = replace(self.sampling, seed=first_seed)
        return [self.with_(sampling=first.sample(number)) for number in range(how_many)]


def ids_of(request: Request) -> list[int]:
    """The prompt, where it has to be ids."""
    if isinstance(request.prompt, str):
        raise UsageError(
            "The prompt is a string, and the engine knows only ids.",
            "Encode it first: tokenizer.encode(prompt); generate_pieces and generate take strings.",
        )
    return list(request.prompt)
