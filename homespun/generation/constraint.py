"""What a text may be: a regular expression or a JSON schema, held token by token.

The work is done by llguidance, which knows at every place which tokens keep the text possible
(https://github.com/guidance-ai/llguidance). It comes with `pip install "homespun[constrained]"`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from homespun.errors import MissingExtra, ModelError, UnknownCharacter, UsageError

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer


class Constraint(Protocol):
    """What `Request.constraint` takes."""

    def begin(self, vocab_size: int) -> Progress:
        """The state at the beginning of a text, for a model of which the first vocab_size ids are drawn."""
        ...


class Progress(Protocol):
    """How far a text has come in its constraint."""

    def mask(self) -> Tensor:
        """(vocab_size) booleans: which tokens may come next."""
        ...

    def push(self, id: int) -> None:
        """That token has come."""
        ...

    def ends_with(self, id: int) -> bool:
        """Whether that token says that the text is over."""
        ...

    def complete(self) -> bool:
        """Whether nothing may follow any more."""
        ...


@dataclass(frozen=True)
class Grammar:
    """A constraint for texts of that tokenizer. `pattern` and `json_schema` make one."""

    tokenizer: Tokenizer
    grammar: str
    description: str = field(compare=False)

    def begin(self, vocab_size: int) -> Progress:
        guidance = llguidance()
        matcher = guidance.LLMatcher(vocabulary(self.tokenizer), self.grammar)
        if matcher.is_error():
            raise unusable(self.description, matcher.get_error())
        return Matching(matcher, vocab_size, self.tokenizer.vocab_size, self.tokenizer.ends, self.description)


def pattern(regex: str, tokenizer: Tokenizer) -> Grammar:
    """The text is what that regular expression describes, from its beginning to its end.

    A model without an end of text goes on while the expression lets it: bound it, as in "[0-9]{1,4}".
    Raises UsageError where it is no regular expression, MissingExtra where the library is not there.
    """
    grammar = llguidance().LLMatcher.grammar_from_regex(regex)
    return checked(Grammar(tokenizer, grammar, f"The pattern {regex!r}"))


# As Python and most models write JSON. Where white space is free, a small model may write it without end.
ON_ONE_LINE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def json_schema(schema: dict[str, Any] | str, tokenizer: Tokenizer, *, one_line: bool = False) -> Grammar:
    """The text is JSON that the schema allows; one_line: without white space but a space after commas and colons.

    Raises UsageError where the schema is none, or MissingExtra.
    """
    try:
        found = json.loads(schema) if isinstance(schema, str) else schema
        grammar = llguidance().LLMatcher.grammar_from_json_schema(found, ON_ONE_LINE if one_line else None)
    except ValueError as error:
        raise UsageError(f"The JSON schema cannot be read: {error}.", "A schema is a JSON object.") from None
    return checked(Grammar(tokenizer, grammar, "The JSON schema"))


def checked(grammar: Grammar) -> Grammar:
    problem = llguidance().LLMatcher.validate_grammar(grammar.grammar, vocabulary(grammar.tokenizer))
    if problem and not problem.startswith("WARNING"):
        raise unusable(grammar.description, problem)
    return grammar


def unusable(description: str, problem: str) -> UsageError:
    return UsageError(
        f"{description} cannot be used: {reason_in(problem)}", "Mend it, or say it in a simpler way."
    )


class Matching:
    """A matcher of llguidance's, and the text that it has seen. ends: ids that end a text; it knows the first."""

    def __init__(
        self, matcher: Any, vocab_size: int, tokens: int, ends: tuple[int, ...], description: str
    ) -> None:
        self.matcher = matcher
        self.vocab_size = vocab_size
        self.ends = tuple(id for id in ends if id < vocab_size)
        self.description = description
        self.tokens = tokens

    def mask(self) -> Tensor:
        bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        known = np.unpackbits(bits, bitorder="little", count=min(8 * bits.size, self.vocab_size)).astype(bool)
        self.check()
        allowed = torch.zeros(self.vocab_size, dtype=torch.bool)
        allowed[: known.size] = torch.from_numpy(known)
        allowed[self.tokens :] = False  # what the library knows and the model does not: see Vocabulary
        if self.ends:  # where one may stand any of them may, and nowhere else
            allowed[list(self.ends)] = allowed[self.ends[0]].clone()
        if not bool(allowed.any()):
            raise ModelError(
                f"{self.description} cannot be held: no token of this model may stand here.",
                "Its tokenizer lacks a character that is needed; --tokenizer byte and bpe have all of them.",
            )
        return allowed

    def push(self, id: int) -> None:
        self.matcher.consume_token(id)
        self.check()

    def ends_with(self, id: int) -> bool:
        return id in self.ends

    def complete(self) -> bool:
        return bool(self.matcher.is_stopped())

    def check(self) -> None:
        if self.matcher.is_error():
            raise ModelError(
                f"{self.description} cannot be held any more: {reason_in(self.matcher.get_error())}",
                "Take a simpler one.",
            )


@lru_cache(maxsize=4)
def vocabulary(tokenizer: Tokenizer) -> Any:
    """The tokens as llguidance wants them, made once for a tokenizer."""
    guidance = llguidance()
    return guidance.LLTokenizer(guidance.TokenizerWrapper(Vocabulary(tokenizer)), slices=[])


class Vocabulary:
    """What llguidance asks a tokenizer for: the bytes of each token, and which one ends a text.

    It needs an end of text, and a token for every byte. Where the tokenizer lacks them, they have ids behind
    the last one: the model cannot choose these.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.tokens = token_bytes_of(tokenizer)
        self.special_token_ids = sorted(tokenizer.special_tokens.values())
        if not tokenizer.ends:
            self.tokens.append(b"")
            self.special_token_ids.append(len(self.tokens) - 1)
        self.eos_token_id = tokenizer.ends[0] if tokenizer.ends else len(self.tokens) - 1
        self.bos_token_id = None
        self.id_of_byte = {token[0]: id for id, token in enumerate(self.tokens) if len(token) == 1}
        for byte in set(range(256)) - self.id_of_byte.keys():
            self.id_of_byte[byte] = len(self.tokens)
            self.tokens.append(bytes([byte]))

    def __call__(self, text: str) -> list[int]:
        try:
            return self.tokenizer.encode(text)
        except UnknownCharacter:
            return [self.id_of_byte[byte] for byte in text.encode("utf-8", "surrogatepass")]


def token_bytes_of(tokenizer: Tokenizer) -> list[bytes]:
    """What each token stands for in the middle of a text, as UTF-8; it may be a part of a character."""
    from homespun.tokenizer.byte_level import token_bytes

    file = json.loads(tokenizer.files()["tokenizer.json"])
    vocab = file["model"]["vocab"]
    names = [""] * tokenizer.vocab_size
    pairs = vocab.items() if isinstance(vocab, dict) else ((entry[0], id) for id, entry in enumerate(vocab))
    for name, id in [*pairs, *((token["content"], token["id"]) for token in file["added_tokens"])]:
        if id < len(names):
            names[id] = name
    decoder = json.dumps(file["decoder"])
    if '"ByteLevel"' in decoder:
        return [token_bytes(name) for name in names]
    if '"ByteFallback"' in decoder or "▁" in decoder:
        return [piece_bytes(name) for name in names]
    return [name.encode("utf-8", "surrogatepass") for name in names]


def piece_bytes(name: str) -> bytes:
    """A piece of SentencePiece.

    >>> piece_bytes("▁cat"), piece_bytes("<0xE2>")
    (b' cat', b'\\xe2')
    """
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes([int(name[3:5], 16)])
    return name.replace("▁", " ").encode("utf-8", "surrogatepass")


def reason_in(problem: str) -> str:
    """What the library has to say, on one line; of a regular expression without the drawing around it.

    >>> reason_in("invalid regex\\nregex parse error:\\n    [0-9\\n    ^\\nerror: unclosed character class")
    'unclosed character class.'
    """
    lines = [line.strip() for line in problem.splitlines()]
    reason = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), " ".join(lines))
    return reason[:200].rstrip(".") + "."


def llguidance() -> Any:
    try:
        import llguidance
    except ImportError:
        raise MissingExtra("Constrained output", "constrained") from None
    return llguidance
