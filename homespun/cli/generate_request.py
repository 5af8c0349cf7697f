"""What `homespun generate` was asked for, put together from the command line, files and standard input."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.errors import TextNotFound, TextUnreadable, UsageError
from homespun.generation.settings import Sampling

if TYPE_CHECKING:
    from homespun.api.language_model import LanguageModel
    from homespun.generation.text import Pieces
    from homespun.tokenizer.tokenizer import Tokenizer

LARGEST_SCHEMA = 2**20  # bytes


@dataclass(frozen=True)
class Request:
    """What was asked for. biases: (a token's text, or # and its id; what is added to its logit)."""

    model: str
    prompt: str
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...]
    samples: int
    pattern: str | None = None
    schema: dict[str, Any] | None = None
    biases: tuple[tuple[str, float], ...] = ()
    shown: bool = False
    why: int | None = None
    special: bool = False

    def is_constrained(self) -> bool:
        return self.pattern is not None or self.schema is not None

    def pieces(self, opened: LanguageModel) -> list[tuple[Sampling, Pieces]]:
        """The samples with their settings. They are written together, whichever is read first."""
        first = self.sampling.seeded()
        settings: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "stop": self.stop,
            "pattern": self.pattern,
            "schema": self.schema,
            "special": self.special,
            "logit_bias": {id_of(opened.tokenizer, token): bias for token, bias in self.biases},
        }
        samples = [first.sample(number) for number in range(self.samples)]
        return [(sampling, opened.stream(self.prompt, **settings, **asdict(sampling))) for sampling in samples]


def prompt_of(prompt: str, file: Path | None) -> str:
    """The prompt, from where it is. Raises UsageError, TextNotFound, TextUnreadable."""
    if file is not None and prompt:
        raise UsageError(
            "There are two prompts, one in the command and one in --prompt-file.", "Give one of them."
        )
    try:
        if file is not None:
            return without_last_newline(file.read_bytes().decode("utf-8-sig"))
        if prompt == "-":
            return without_last_newline(sys.stdin.buffer.read().decode("utf-8-sig"))
    except FileNotFoundError:
        raise TextNotFound(f"There is no file {file}.", "--prompt-file takes the path of a text file.") from None
    except (UnicodeDecodeError, IsADirectoryError):
        where = "Standard input" if file is None else str(file)
        raise TextUnreadable(
            f"{where} is not a text in UTF-8.", "A prompt is plain text; save it as UTF-8."
        ) from None
    return prompt


def without_last_newline(text: str) -> str:
    """Newlines as the model knows them, and without the one that an editor puts at the end of a file."""
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def unescaped(text: str) -> str:
    r"""What a shell makes hard to type.

    >>> unescaped(r"one\n")
    'one\n'
    """
    return text.replace(r"\n", "\n").replace(r"\t", "\t")


def schema_of(given: str | None) -> dict[str, Any] | None:
    """A JSON schema from a file, or as it stands. Raises UsageError, TextNotFound, TextUnreadable."""
    if given is None:
        return None
    inline = given.lstrip().startswith("{")
    try:
        schema = json.loads(given if inline else read_schema(Path(given).expanduser()))
    except (ValueError, RecursionError) as error:
        where = "The JSON schema" if inline else given
        raise UsageError(f"{where} is not JSON: {str(error)[:200]}.", EXAMPLE) from None
    if not isinstance(schema, dict):
        raise UsageError(f"{given} holds no JSON object, and a schema is one.", EXAMPLE)
    return schema


EXAMPLE = """A schema looks like this: {"type": "object", "properties": {"name": {"type": "string"}}}"""


def read_schema(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_SCHEMA:
            raise TextUnreadable(f"{path} is too large for a schema.", f"It may have {LARGEST_SCHEMA:,} bytes.")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise TextNotFound(
            f"There is no file {path}.", "--schema takes the path of a JSON schema, or the schema itself."
        ) from None
    except OSError as error:
        raise TextUnreadable(f"{path} cannot be read: {error.strerror}.", "Give a file with a schema.") from None


def bias_of(given: str) -> tuple[str, float]:
    """A token and what is added to its logit. Raises UsageError.

    >>> bias_of("z=-inf"), bias_of("==2.5")
    (('z', -inf), ('=', 2.5))
    """
    token, sign, number = given.rpartition("=")
    try:
        bias = float(number)
    except ValueError:
        sign = ""
    if not sign or not token:
        raise UsageError(
            f"--logit-bias {given[:80]!r} does not say what is added to which token.",
            "It is written TOKEN=NUMBER: z=-inf forbids the letter z, #13=2.5 favours the token with the id 13.",
        )
    return unescaped(token), bias


def id_of(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token by its text, or by # and the id. Raises UsageError, UnknownCharacter."""
    if token.startswith("#") and token[1:].isdecimal():
        id = int(token[1:])
        if id >= tokenizer.vocab_size:
            raise UsageError(
                f"There is no token with the id {id}.", f"The ids go from 0 to {tokenizer.vocab_size - 1:,}."
            )
        return id
    ids = tokenizer.encode(token)
    if len(ids) != 1:
        raise UsageError(
            f"{token[:80]!r} is {len(ids)} tokens to this model, and a bias is given to one.",
            f"Name them one by one: {' '.join(f'#{id}' for id in ids[:8])}",
        )
    return ids[0]
